"""`moor watch`: changes as they happen."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from random import Random

from rich.console import Console

from moorage.registry.v1.watch_service_pb2 import WatchOperation, WatchRequest, WatchResponse
from moorage_cli import connect
from moorage_cli.console import make_console, show_next
from moorage_cli.names import watched_names
from moorage_cli.results import Item, Output
from moorage_cli.target import MeshTarget
from moorage_cli.views.page import Line
from moorage_cli.views.watching import KINDS, Resource, event_line, resource_of
from moorage_common.core.backoff import Backoff, BackoffPolicy
from moorage_common.core.errors import OutOfRange, Unavailable
from moorage_common.rpc.channels import reading
from moorage_common.rpc.clients import RegistryClient


async def run(
    target: MeshTarget, *, names: Sequence[str], kinds: Sequence[str], since: int | None, output: Output
) -> int:
    """Prints every change from now on, or from a revision on, until interrupted."""
    wanted = WatchRequest(kinds=[KINDS[kind] for kind in kinds], names=watched_names(names))
    seen: dict[str, Resource] = {}
    async with connect.registry(target) as registry:
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
    heard, waiting = False, False
    backoff = Backoff(BackoffPolicy(cap_s=5), Random())
    while True:
        try:
            async with reading(registry.watch.Watch(request)) as events:
                async for event in events:
                    heard, waiting = True, False
                    backoff.reset()
                    if event.revision:
                        _start(request, event.revision)
                    if event.WhichOneof("resource"):
                        yield event
        except Unavailable:
            if not heard:
                raise
            if not waiting:
                console.print("The registry does not answer; trying on.", style="yellow")
            waiting = True
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
