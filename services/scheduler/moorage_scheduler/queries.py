"""Answers to whoever asks where something would go, or why it is where it is. Nothing is changed."""

from dataclasses import replace

from moorage.common.v1 import placement_pb2
from moorage.registry.v1 import artifact_service_pb2, instance_service_pb2, model_service_pb2
from moorage.registry.v1.artifact_pb2 import Artifact
from moorage.registry.v1.instance_pb2 import Instance
from moorage.registry.v1.model_pb2 import Model, ModelResolution
from moorage.scheduler.v1 import scheduler_service_pb2 as pb
from moorage_common.core.errors import ErrorReason, FailedPrecondition, Unavailable
from moorage_common.core.states import InstanceState, ResolutionState
from moorage_common.rpc.clients import RegistryClient
from moorage_common.rpc.enums import INSTANCE_STATE, RESOLUTION_STATE
from moorage_scheduler.convert.models import gpus_from_proto
from moorage_scheduler.convert.outcomes import explanation_to_proto
from moorage_scheduler.convert.workers import model_of
from moorage_scheduler.core.pipeline import place
from moorage_scheduler.core.policy import ScoringPolicy
from moorage_scheduler.core.request import Outcome, Request
from moorage_scheduler.core.snapshot import Snapshot
from moorage_scheduler.loop import Changes
from moorage_scheduler.mirror import Mirror, request_of

DEFAULT_WORKERS = 20
"""Workers that an explanation lists where nobody says how many."""


class Queries:
    """Asks the same code as the loop, of the fleet as it is at the moment."""

    def __init__(
        self, *, changes: Changes, mirror: Mirror, registry: RegistryClient, policy: ScoringPolicy
    ) -> None:
        self._changes = changes
        self._mirror = mirror
        self._registry = registry
        self._policy = policy

    async def request(self, asked: pb.EvaluatePlacementRequest) -> Request:
        """Returns what an evaluation asks to place: one more instance of a model.

        Raises:
            NotFound: No such model, or artifact.
            FailedPrecondition: The model has no artifact, or nothing is known that could serve it.
        """
        self._sync()
        model = await self._subject(asked)
        artifact = await self.artifact(model.resolution.artifact)
        request = request_of(model, artifact, seed=model.uid or model.name)
        if request is None:
            raise FailedPrecondition(
                f"no engine is known that serves {artifact.name}", reason=ErrorReason.MODEL_FILE_INVALID
            )
        if asked.workers or asked.gpus:
            # What is chosen by hand takes the place of the model's own choice of workers and cards.
            selection = replace(
                request.selection,
                workers=frozenset(asked.workers),
                labels={},
                gpus=gpus_from_proto(asked.gpus),
                gpus_per_replica=asked.gpus_per_replica,
            )
            request = replace(request, selection=selection)
        return request

    def snapshot(self) -> Snapshot:
        """Returns the fleet as it now is.

        Raises:
            Unavailable: The registry has not been heard from yet.
        """
        self._sync()
        return self._mirror.snapshot()

    def place(self, request: Request, explain_workers: int, snapshot: Snapshot) -> Outcome:
        """Places a request on a fleet; the live one stays as it is."""
        return place(snapshot, request, self._policy, explain_workers=explain_workers or DEFAULT_WORKERS)

    async def artifact(self, name: str) -> Artifact:
        """Returns an artifact by its name.

        Raises:
            NotFound: No such artifact.
        """
        known = self._mirror.artifact(name)
        if known is not None:
            return known
        asked = artifact_service_pb2.GetArtifactRequest(name=name)
        return (await self._registry.artifacts.GetArtifact(asked)).artifact

    async def _subject(self, asked: pb.EvaluatePlacementRequest) -> Model:
        if asked.WhichOneof("subject") == "model_name":
            return await self._resolved(asked.model_name)
        spec = asked.model
        return Model(
            engine=spec.engine,
            engine_version=spec.engine_version,
            llama_cpp=spec.llama_cpp,
            vllm=spec.vllm,
            category=spec.category,
            placement=spec.placement,
            resolution=ModelResolution(artifact=spec.artifact),
        )

    async def _resolved(self, name: str) -> Model:
        model = self._mirror.model(name)
        if model is None or not model.resolution.artifact:
            # The cache may be a moment behind.
            asked = model_service_pb2.GetModelRequest(name=name)
            model = (await self._registry.models.GetModel(asked)).model
        if not model.resolution.artifact:
            raise FailedPrecondition(
                f"{name} has no artifact: {_unresolved(model)}",
                reason=ErrorReason.MODEL_UNRESOLVED,
                metadata={"model": name},
            )
        return model

    async def bound(self, name: str) -> tuple[Instance, Request]:
        """Returns an instance that is bound, and what was placed for it.

        Raises:
            NotFound: No such instance.
            FailedPrecondition: It is not bound (NO_PLACEMENT), or nothing is known any more that could serve it.
        """
        instance = await self._instance(name)
        if not instance.HasField("placement"):
            state = INSTANCE_STATE.from_proto(instance.state).value
            raise FailedPrecondition(f"{name} is {state}, and nowhere", reason=ErrorReason.NO_PLACEMENT)
        asked = pb.EvaluatePlacementRequest(model_name=model_of(name))
        return instance, await self.request(asked)

    async def explain(
        self, name: str, *, explain_workers: int
    ) -> tuple[placement_pb2.Placement | None, placement_pb2.Explanation]:
        """Returns where an instance is, and why there or nowhere.

        Raises:
            NotFound: No such instance.
            Unavailable: The registry has not been heard from yet, as for the other answers.
        """
        instance = await self._instance(name)
        if INSTANCE_STATE.from_proto(instance.state) is InstanceState.PENDING:
            return None, await self._explain_pending(instance, explain_workers)
        placement = instance.placement if instance.HasField("placement") else None
        if not instance.HasField("explanation"):
            state = INSTANCE_STATE.from_proto(instance.state).value
            return placement, placement_pb2.Explanation(summary=f"{name} is {state}")
        recorded = placement_pb2.Explanation()
        recorded.CopyFrom(instance.explanation)
        del recorded.workers[explain_workers or DEFAULT_WORKERS :]
        return placement, recorded

    async def _explain_pending(self, instance: Instance, explain_workers: int) -> placement_pb2.Explanation:
        self._sync()
        request = self._mirror.request_for(instance)
        if request is not None:
            return explanation_to_proto(self.place(request, explain_workers, self.snapshot()).explanation)
        asked = model_service_pb2.GetModelRequest(name=model_of(instance.name))
        model = (await self._registry.models.GetModel(asked)).model
        return placement_pb2.Explanation(
            verdict=placement_pb2.VERDICT_NOT_NOW, summary=f"waits for its artifact: {_unresolved(model)}"
        )

    def _sync(self) -> None:
        if not self._changes.synced:
            raise Unavailable("the scheduler has not heard from the registry yet", retry_after_s=1.0)
        self._mirror.sync(self._changes.snapshot())

    async def _instance(self, name: str) -> Instance:
        # The mirror is a moment behind, and a person who just stopped a model would be told of before.
        asked = instance_service_pb2.GetInstanceRequest(name=name)
        return (await self._registry.instances.GetInstance(asked)).instance


def _unresolved(model: Model) -> str:
    resolution = model.resolution
    if resolution.state and RESOLUTION_STATE.from_proto(resolution.state) is ResolutionState.FAILED:
        return f"its source cannot be resolved: {resolution.error.message}"
    return "its source is being resolved"
