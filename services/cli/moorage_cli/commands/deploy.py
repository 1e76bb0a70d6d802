"""`moor deploy`: creates a model and follows it until it answers."""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from rich.console import Console

from moorage.common.v1.engine_pb2 import ENGINE_KIND_UNSPECIFIED, LlamaCppOptions
from moorage.downloader.v1.download_service_pb2 import InspectSourceRequest
from moorage.registry.v1.artifact_pb2 import Artifact
from moorage.registry.v1.model_pb2 import (
    PLACEMENT_STRATEGY_UNSPECIFIED,
    GpuSelector,
    Model,
    PlacementPolicy,
)
from moorage.registry.v1.model_service_pb2 import CreateModelRequest, GetModelRequest
from moorage.scheduler.v1.scheduler_service_pb2 import EvaluatePlacementRequest, ModelSpec
from moorage_cli import connect
from moorage_cli.console import make_console, print_milestone, show
from moorage_cli.exits import EXIT_DONE, EXIT_UNFINISHED
from moorage_cli.failures import exit_code, print_error
from moorage_cli.following import follow_deployment
from moorage_cli.listing import all_instances
from moorage_cli.names import model_id_from_source, model_of, workers_of
from moorage_cli.results import Output, Result
from moorage_cli.simulation.shorthand import read_selector
from moorage_cli.target import MeshTarget
from moorage_cli.views.explanation import explanation_page
from moorage_cli.views.facts import describe_artifact
from moorage_cli.views.milestones import Mark, Outcome, OutcomeKind
from moorage_cli.views.words import short
from moorage_common.core.errors import DeadlineExceeded, InvalidArgument
from moorage_common.core.ids import new_uid
from moorage_common.core.placement import PlacementStrategy
from moorage_common.core.states import EngineKind
from moorage_common.rpc.clients import RegistryClient
from moorage_common.rpc.enums import ENGINE_KIND, PLACEMENT_STRATEGY

INSPECTION_TIMEOUT_S = 120.0
"""A hub may be far, and a file may need several ranges until its header is whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What a user says of a model."""

    source: str
    name: str = ""
    """Empty: made of the source."""
    replicas: int = 1
    context_length: int = 0
    """In tokens; 0: the model's own, at most 4096."""
    gpu_layers: int | None = None
    """None: as many as fit."""
    engine: EngineKind | None = None
    """None: the one that reads its files."""
    engine_version: str = ""
    """A version, or conditions on it. Empty: any."""
    workers: Sequence[str] = ()
    """Only these. Empty: any."""
    worker_labels: Sequence[str] = ()
    """Only workers with these, each "zone=a"."""
    gpus: Sequence[str] = ()
    """Only these, each "gpu-01/cuda:0" or "gpu-01/" and the card's UUID. Empty: any."""
    gpus_per_replica: int = 0
    """0: all of them."""
    strategy: PlacementStrategy | None = None
    """None: the scheduler's own."""

    @property
    def model_id(self) -> str:
        """The id of the model to create. Raises `InvalidArgument`: the name cannot be one."""
        if not self.name:
            return model_id_from_source(self.source)
        return model_of(self.name).removeprefix("models/")

    def model(self) -> Model:
        """The model to create. Raises `InvalidArgument`: a worker, label or GPU is not understood."""
        options = LlamaCppOptions(context_length=self.context_length)
        if self.gpu_layers is not None:
            options.gpu_layers = self.gpu_layers
        return Model(
            source=self.source,
            replicas=self.replicas,
            engine=ENGINE_KIND.to_proto(self.engine) if self.engine else ENGINE_KIND_UNSPECIFIED,
            engine_version=self.engine_version,
            llama_cpp=options,
            placement=PlacementPolicy(
                workers=workers_of(self.workers),
                worker_labels=dict(map(_label, self.worker_labels)),
                gpus=map(_gpu, self.gpus),
                gpus_per_replica=self.gpus_per_replica,
                strategy=(
                    PLACEMENT_STRATEGY.to_proto(self.strategy)
                    if self.strategy
                    else PLACEMENT_STRATEGY_UNSPECIFIED
                ),
            ),
        )


def _label(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise InvalidArgument(f"{text!r} is no label", remedy="Write KEY=VALUE.")
    return key, value


def _gpu(text: str) -> GpuSelector:
    selector = GpuSelector()
    try:
        read_selector(text, selector)
    except ValueError as error:
        raise InvalidArgument(str(error)) from None
    return selector


async def run(
    target: MeshTarget, wishes: Wishes, *, wait: bool, timeout_s: float | None, output: Output
) -> int:
    """Deploys a source as a model."""
    console = make_console(stderr=True)
    name, model = model_of(wishes.model_id), wishes.model()
    async with connect.registry(target) as registry:
        await inspect(target, wishes.source, console)
        await create(registry, name, model)
        print_milestone(console, Mark.DONE, "created", name)
        return await finish(registry, name, wait=wait, timeout_s=timeout_s, output=output)


async def dry_run(target: MeshTarget, wishes: Wishes, *, output: Output) -> int:
    """Tells where an instance of a model would go now, and creates nothing."""
    console = make_console(stderr=True)
    name, model = model_of(wishes.model_id), wishes.model()
    artifact = await inspect(target, wishes.source, console)
    spec = ModelSpec(
        artifact=artifact.name,
        engine=model.engine,
        engine_version=model.engine_version,
        llama_cpp=model.llama_cpp,
        placement=model.placement,
    )
    async with connect.scheduler(target) as scheduler:
        request = EvaluatePlacementRequest(model=spec)
        answer = await scheduler.scheduler.EvaluatePlacement(request)
    placed = answer.HasField("placement")
    data = {"placement": answer.placement} if placed else {}
    page = explanation_page(f"one instance of {name}", answer.placement, answer.explanation)
    show(output, Result(data={**data, "explanation": answer.explanation}, names=[name], page=page))
    return EXIT_DONE if placed else EXIT_UNFINISHED


async def inspect(target: MeshTarget, source: str, console: Console) -> Artifact:
    """Looks at the source first: what is wrong with it is known before anything is created."""
    async with connect.downloader(target) as downloader:
        with console.status(f"looking at {source}"):
            request = InspectSourceRequest(source=source)
            response = await downloader.downloads.InspectSource(request, timeout=INSPECTION_TIMEOUT_S)
    print_milestone(console, Mark.DONE, "inspected", describe_artifact(response.artifact))
    return response.artifact


async def create(registry: RegistryClient, name: str, model: Model) -> Model:
    """Creates the model."""
    request = CreateModelRequest(model_id=name.removeprefix("models/"), model=model, request_id=new_uid())
    return (await registry.models.CreateModel(request)).model


async def finish(
    registry: RegistryClient, model: str, *, wait: bool, timeout_s: float | None, output: Output
) -> int:
    """Follows a model until it runs, if that is wanted, and prints what there is then."""
    code = await follow(registry, model, timeout_s=timeout_s) if wait else 0
    await report(registry, model, output=output)
    return code


async def report(registry: RegistryClient, model: str, *, output: Output) -> None:
    """Prints a model and its instances as they are now."""
    current = (await registry.models.GetModel(GetModelRequest(name=model))).model
    data = {"model": current, "instances": await all_instances(registry, model)}
    show(output, Result(data=data, names=[model]))


async def follow(
    registry: RegistryClient, model: str, *, timeout_s: float | None, only: Collection[str] = ()
) -> int:
    """Shows how a model comes to run, until it does or something is in its way; returns the exit code.

    Args:
        registry: Whom to ask.
        model: Its name.
        timeout_s: How long to look on. None: to its end.
        only: Instances by name: these alone. Empty: as many as are wanted.
    """
    console = make_console(stderr=True)
    try:
        async with asyncio.timeout(timeout_s):
            outcome = await follow_deployment(registry, model, console, only=only)
    except TimeoutError:
        late = DeadlineExceeded(
            f"{model} does not run after {timeout_s:g} s; its deployment goes on",
            remedy=f"See where it is with 'moor explain {short(model)}', or wait with 'moor start {short(model)}'.",
        )
        outcome = Outcome(OutcomeKind.UNPLACED, late)
    except asyncio.CancelledError:
        console.print(f"\nNo longer followed; the deployment of {model} goes on.", style="dim")
        raise
    return tell_outcome(outcome, model, console)


def tell_outcome(outcome: Outcome, model: str, console: Console) -> int:
    """Prints why a deployment does not run, if so; returns the exit code."""
    if outcome.error is None:
        return 0
    print_error(console, outcome.error)
    if outcome.kind is OutcomeKind.UNPLACED:
        console.print(f"{model} stays and starts as soon as it can.", style="dim")
        return EXIT_UNFINISHED
    return exit_code(outcome.error)
