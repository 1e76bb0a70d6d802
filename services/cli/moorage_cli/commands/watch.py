"""`moor watch`: changes as they happen."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from random import Random

from rich.console import Console
from rich.text import Text

from moorage.registry.v1.model_service_pb2 import ListModelsRequest
from moorage.registry.v1.watch_service_pb2 import WatchOperation, WatchRequest, WatchResponse
from moorage_cli import connect
from moorage_cli.console import make_console, show_next
from moorage_cli.names import watched_names
from moorage_cli.results import Item, Output
from moorage_cli.target import MeshTarget
from moorage_cli.views.page import Line
from moorage_cli.views.watching import KINDS, Resource, event_line, resource_of
from moorage_common.core.backoff import Backoff, BackoffPolicy
from moorage_common.core.errors import MoorageError, OutOfRange, ResourceExhausted, Unavailable
from moorage_common.rpc.channels import reading
from moorage_common.rpc.clients import RegistryClient

_PROGRESS_EVERY_S = 60
"""A name of which nothing is heard for long is still gone on with from where all else is."""


async def run(
    target: MeshTarget, *, names: Sequence[str], kinds: Sequence[str], since: int | None, output: Output
) -> int:
    """Prints every change from now on, or from a revision on, until interrupted."""
    wanted = WatchRequest(kinds=[KINDS[kind] for kind in kinds], names=watched_names(names))
    wanted.progress_interval.FromSeconds(_PROGRESS_EVERY_S)
    seen: dict[str, Resource] = {}
    async with connect.registry(target) as registry:
        # A watch goes on trying; whether there is a registry at all is said at once.
        await registry.models.ListModels(ListModelsRequest(page_size=1))
        async for event in _events(registry, wanted, since, make_console(stderr=True)):
            resource = resource_of(event)
            if event.operation != WatchOperation.WATCH_OPERATION_CURRENT:
                page = [Line(event_line(event, seen.get(resource.name)))]
                show_next(output, Item(data=event, name=resource.name, page=page))
            if event.operation == WatchOperation.WATCH_OPERATION_DELETED:
                seen.pop(resource.name, None)
            else:
                seen[resource.name] = resource
    raise AssertionError("a watch never ends by itself")


async def _events(
    registry: RegistryClient, wanted: WatchRequest, since: int | None, console: Console
) -> AsyncIterator[WatchResponse]:
    """Yields events that carry a resource, through broken streams.

    What is there at the beginning comes as CURRENT, so that a change can be told from what to what.
    """
    request = WatchRequest()
    request.CopyFrom(wanted)
    _start(request, since)
    heard, told = False, False
    backoff = Backoff(BackoffPolicy(cap_s=5), Random())
    while True:
        try:
            async with reading(registry.watch.Watch(request)) as events:
                async for event in events:
                    heard, told = True, False
                    backoff.reset()
                    if event.revision:
                        _start(request, event.revision)
                    if event.WhichOneof("resource"):
                        yield event
        except (Unavailable, ResourceExhausted) as error:
            _start_after(request, error)
            if not told:
                console.print(Text(f"{error.message}; trying on.", style="yellow"))
            told = True
        except OutOfRange:
            if not heard:
                raise
            console.print("Some changes were missed: the registry keeps them no longer.", style="yellow")
            _start(request, None)
        await asyncio.sleep(backoff.next_delay_s())


def _start(request: WatchRequest, revision: int | None) -> None:
    """Lets a watch begin after a revision, or with everything as it is now."""
    request.initial_state = revision is None
    request.after_revision = revision or 0


def _start_after(request: WatchRequest, error: MoorageError) -> None:
    """Lets a watch go on from where the registry says that it has sent everything, if it does."""
    revision = error.metadata.get("resume_after_revision", "")
    if revision.isdigit() and int(revision) > request.after_revision and not request.initial_state:
        request.after_revision = int(revision)
