"""`moor deploy`: creates a model and follows it until it answers."""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass

from rich.console import Console

from moorage.common.v1.engine_pb2 import LlamaCppOptions
from moorage.downloader.v1.download_service_pb2 import InspectSourceRequest
from moorage.registry.v1.model_pb2 import Model
from moorage.registry.v1.model_service_pb2 import CreateModelRequest, GetModelRequest
from moorage_cli import connect
from moorage_cli.console import make_console, print_milestone, show
from moorage_cli.exits import EXIT_UNFINISHED
from moorage_cli.failures import exit_code, print_error
from moorage_cli.following import follow_deployment
from moorage_cli.listing import all_instances
from moorage_cli.names import model_id_from_source, model_of
from moorage_cli.results import Output, Result
from moorage_cli.target import MeshTarget
from moorage_cli.views.facts import describe_artifact
from moorage_cli.views.milestones import Mark, Outcome, OutcomeKind
from moorage_cli.views.words import short
from moorage_common.core.errors import DeadlineExceeded
from moorage_common.core.ids import new_uid
from moorage_common.rpc.clients import RegistryClient

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

    @property
    def model_id(self) -> str:
        """The id of the model to create. Raises `InvalidArgument`: the name cannot be one."""
        if not self.name:
            return model_id_from_source(self.source)
        return model_of(self.name).removeprefix("models/")

    def model(self) -> Model:
        """The model to create."""
        options = LlamaCppOptions(context_length=self.context_length)
        if self.gpu_layers is not None:
            options.gpu_layers = self.gpu_layers
        return Model(source=self.source, replicas=self.replicas, llama_cpp=options)


async def run(
    target: MeshTarget, wishes: Wishes, *, wait: bool, timeout_s: float | None, output: Output
) -> int:
    """Deploys a source as a model."""
    console = make_console(stderr=True)
    name = model_of(wishes.model_id)
    async with connect.registry(target) as registry:
        await inspect(target, wishes.source, console)
        await create(registry, wishes)
        print_milestone(console, Mark.DONE, "created", name)
        return await finish(registry, name, wait=wait, timeout_s=timeout_s, output=output)


async def inspect(target: MeshTarget, source: str, console: Console) -> None:
    """Looks at the source first: what is wrong with it is known before anything is created."""
    async with connect.downloader(target) as downloader:
        with console.status(f"looking at {source}"):
            request = InspectSourceRequest(source=source)
            response = await downloader.downloads.InspectSource(request, timeout=INSPECTION_TIMEOUT_S)
    print_milestone(console, Mark.DONE, "inspected", describe_artifact(response.artifact))


async def create(registry: RegistryClient, wishes: Wishes) -> Model:
    """Creates the model."""
    request = CreateModelRequest(model_id=wishes.model_id, model=wishes.model(), request_id=new_uid())
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
