"""Placements on fleets that exist on paper only: the same code as the loop's, on a fleet of the request's own."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from google.rpc import status_pb2

from moorage.downloader.v1.download_service_pb2 import InspectSourceRequest
from moorage.registry.v1.artifact_pb2 import Artifact
from moorage.scheduler.v1 import simulation_pb2 as pb
from moorage_common.core.errors import InvalidArgument, MoorageError
from moorage_common.rpc.clients import DownloaderClient
from moorage_common.rpc.status import to_status
from moorage_scheduler.convert.outcomes import explanation_to_proto, placement_to_proto
from moorage_scheduler.convert.paper_models import replicas_of, request_on_paper
from moorage_scheduler.convert.paper_workers import Table
from moorage_scheduler.convert.simulation import PaperFleet
from moorage_scheduler.core.pipeline import place
from moorage_scheduler.core.policy import ScoringPolicy
from moorage_scheduler.core.request import Outcome, Request, tenant_of
from moorage_scheduler.core.snapshot import Snapshot
from moorage_scheduler.predictor import Predict

_STEPS = 20
"""So many workers, or instances, are taken in before others are served: about a millisecond."""
_SOURCES_AT_ONCE = 8

Looked = Artifact | MoorageError | None
"""What a source is, why it cannot be looked at, or that a model has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What became of one replica."""

    model: str
    replica: int
    request: Request | None = None
    """What was placed. None: nothing is known of the model."""
    outcome: Outcome | None = None
    """Where it would go, and why. None: as `request`."""
    snapshot: Snapshot | None = None
    """The fleet that it was placed on, without it. None: as `request`."""
    error: MoorageError | None = None
    """Why nothing is known of the model."""


class Simulations:
    """Places models on paper. The live fleet is neither asked nor touched.

    Args:
        policy: What is preferred where a request does not say.
        table: Knows cards by their products.
        artifact: Returns an artifact of the registry by its name.
        downloader: Looks at sources.
        predict: Tells how fast a placement should be.
    """

    def __init__(
        self,
        *,
        policy: ScoringPolicy,
        table: Table,
        artifact: Callable[[str], Awaitable[Artifact]],
        downloader: DownloaderClient,
        predict: Predict,
    ) -> None:
        self._policy = policy
        self._table = table
        self._artifact = artifact
        self._downloader = downloader
        self._predict = predict

    async def simulate(self, request: pb.SimulatePlacementRequest) -> pb.SimulatePlacementResponse:
        """Returns where every replica would go.

        Raises:
            InvalidArgument: Something is wrong with the request; all of it is listed.
        """
        response = pb.SimulatePlacementResponse()
        async for answer in self.answers(request):
            response.placements.append(self._to_proto(answer))
        return response

    async def answers(self, request: pb.SimulatePlacementRequest) -> AsyncIterator[Answer]:
        """Yields where every replica would go, one after the other, each counting for those after it.

        Raises:
            InvalidArgument: As `simulate`.
        """
        paper = PaperFleet(request, policy=self._policy, table=self._table)
        for step, _ in enumerate(paper.build()):
            if step % _STEPS == 0:
                await asyncio.sleep(0)
        known = await self._look(request.models)
        for model in request.models:
            wanted = _wanted(model, known[_subject(model)])
            for replica in range(replicas_of(model)):
                seed = f"{request.seed}/{model.name}/{replica}"
                yield _answer(paper, model.name, replica, wanted, seed=seed)
                await asyncio.sleep(0)

    async def _look(self, models: Iterable[pb.SimulatedModel]) -> Mapping[str, Looked]:
        """Returns what is known of every source and artifact that models name, each looked at once."""
        subjects = {_subject(model): model for model in models}
        room = asyncio.Semaphore(_SOURCES_AT_ONCE)

        async def look(model: pb.SimulatedModel) -> Looked:
            async with room:
                try:
                    return await self._look_at(model)
                except MoorageError as error:
                    return error

        async with asyncio.TaskGroup() as tasks:
            looked = {subject: tasks.create_task(look(model)) for subject, model in subjects.items()}
        return {subject: task.result() for subject, task in looked.items()}

    async def _look_at(self, model: pb.SimulatedModel) -> Artifact | None:
        match model.WhichOneof("facts_from"):
            case "source":
                asked = InspectSourceRequest(source=model.source)
                return (await self._downloader.downloads.InspectSource(asked)).artifact
            case "known_artifact":
                return await self._artifact(model.known_artifact)
            case _:
                return None

    def _to_proto(self, answer: Answer) -> pb.SimulatedPlacement:
        placed = answer.outcome.placement if answer.outcome else None
        predicted = None
        if placed and answer.request and answer.snapshot:
            predicted = self._predict(answer.snapshot, answer.request, placed)
        return pb.SimulatedPlacement(
            model=answer.model,
            replica=answer.replica,
            placement=placement_to_proto(placed, predicted) if placed else None,
            explanation=explanation_to_proto(answer.outcome.explanation) if answer.outcome else None,
            status=to_status(answer.error) if answer.error else status_pb2.Status(),
        )


def _wanted(model: pb.SimulatedModel, looked: Looked) -> Request | MoorageError:
    """Returns what is to be placed for each replica of a model, or why nothing can be."""
    if isinstance(looked, MoorageError):
        return looked
    try:
        return request_on_paper(model, looked)
    except MoorageError as error:
        return error


def _answer(
    paper: PaperFleet, model: str, replica: int, wanted: Request | MoorageError, *, seed: str
) -> Answer:
    if isinstance(wanted, MoorageError):
        return Answer(model=model, replica=replica, error=wanted)
    request, snapshot = replace(wanted, seed=seed), paper.fleet.snapshot()
    try:
        outcome = place(snapshot, request, paper.policy, explain_workers=paper.explain_workers)
    except OverflowError:
        beyond = InvalidArgument(f"{model} needs more memory than can be added up")
        return Answer(model=model, replica=replica, error=beyond)
    if outcome.placement is not None:
        name = f"{model}/instances/simulated-{replica}"
        paper.fleet.put_tenant(name, tenant_of(model, outcome.placement))
    return Answer(model=model, replica=replica, request=request, outcome=outcome, snapshot=snapshot)


def _subject(model: pb.SimulatedModel) -> str:
    return model.source or model.known_artifact
