"""`moor top`: the whole mesh on a page that keeps itself up to date."""

import asyncio
import contextlib
from datetime import UTC, datetime

import grpc
from rich.console import Console
from rich.live import Live

from moorage.registry.v1.watch_service_pb2 import ResourceKind
from moorage.registry.v1.worker_service_pb2 import ListWorkersRequest
from moorage_cli import connect
from moorage_cli.console import make_console, picture, show
from moorage_cli.results import Output, Result, names_of
from moorage_cli.target import MeshTarget
from moorage_cli.views.overview import overview_page
from moorage_common.rpc.cache import CacheSnapshot
from moorage_common.rpc.clients import RegistryClient
from moorage_common.rpc.informer import Informer

_KINDS = (
    ResourceKind.RESOURCE_KIND_WORKER,
    ResourceKind.RESOURCE_KIND_MODEL,
    ResourceKind.RESOURCE_KIND_INSTANCE,
)
_REDRAW_S = 1.0
_FIRST_STATE_WITHIN_S = 30.0


async def run(target: MeshTarget, *, once: bool, output: Output) -> int:
    """Shows workers, their memory and instances until interrupted; once where nobody can look on."""
    console = make_console()
    live = console.is_terminal and not console.is_dumb_terminal and output is Output.TABLE and not once
    async with connect.registry(target) as registry:
        # The informer would wait for a mesh that is not there.
        await registry.workers.ListWorkers(ListWorkersRequest(page_size=1))
        informer = Informer(registry.watch, kinds=_KINDS)
        following = asyncio.create_task(informer.run(), name="informer")
        try:
            async with asyncio.timeout(_FIRST_STATE_WITHIN_S):
                await informer.wait_synced()
            if live:
                await _look_on(registry, informer, console)
            else:
                show(output, _result(informer.snapshot()))
        finally:
            following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await following
    return 0


async def _look_on(registry: RegistryClient, informer: Informer, console: Console) -> None:
    heard = datetime.now(UTC)
    with Live(console=console, screen=True, auto_refresh=False, vertical_overflow="ellipsis") as window:
        while True:
            now = datetime.now(UTC)
            if registry.channel.get_state(try_to_connect=True) is grpc.ChannelConnectivity.READY:
                heard = now
            page = overview_page(informer.snapshot(), now=now, silent_s=(now - heard).total_seconds())
            window.update(picture(page, width=console.width), refresh=True)
            await asyncio.sleep(_REDRAW_S)


def _result(snapshot: CacheSnapshot) -> Result:
    workers = list(snapshot.workers.values())
    models = list(snapshot.models.values())
    instances = list(snapshot.instances.values())
    return Result(
        data={"workers": workers, "models": models, "instances": instances},
        names=[*names_of(workers), *names_of(models), *names_of(instances)],
        page=overview_page(snapshot, now=datetime.now(UTC)),
    )
