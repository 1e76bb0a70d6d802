"""`moor pull`: brings a source onto workers ahead of any deployment."""

import asyncio
from collections.abc import AsyncIterator, Sequence

from moorage.downloader.v1.download_service_pb2 import (
    CreateDownloadRequest,
    Download,
    WatchDownloadRequest,
)
from moorage.registry.v1.worker_pb2 import WorkerState
from moorage_cli import connect
from moorage_cli.console import make_console, print_milestone, show
from moorage_cli.failures import exit_code, print_error
from moorage_cli.listing import all_workers
from moorage_cli.names import workers_of
from moorage_cli.progress import ProgressView
from moorage_cli.results import Output, Result
from moorage_cli.target import MeshTarget
from moorage_cli.views.download import download_status
from moorage_cli.views.milestones import Mark
from moorage_common.core.errors import FailedPrecondition, Unavailable
from moorage_common.core.ids import new_uid
from moorage_common.rpc.channels import reading
from moorage_common.rpc.clients import DownloaderClient

_RESUME_AFTER_S = 0.5


async def run(target: MeshTarget, *, source: str, workers: Sequence[str], wait: bool, output: Output) -> int:
    """Pulls a source onto the workers named, or onto every ready one."""
    console = make_console(stderr=True)
    names = workers_of(workers) or await _ready_workers(target)
    async with connect.downloader(target) as downloader:
        wanted = Download(source=source, workers=names)
        request = CreateDownloadRequest(download=wanted, request_id=new_uid())
        download = (await downloader.downloads.CreateDownload(request)).download
        print_milestone(console, Mark.DONE, "created", download.name)
        code = 0
        if wait:
            with ProgressView(console) as view:
                async for current in _watched(downloader, download.name):
                    download = current
                    status = download_status(download)
                    view.show(status.milestones, status.transfers)
                    if status.error is not None:
                        print_error(console, status.error)
                        code = exit_code(status.error)
    show(output, Result(data={"download": download}, names=[download.name]))
    return code


async def _ready_workers(target: MeshTarget) -> list[str]:
    async with connect.registry(target) as registry:
        workers = await all_workers(registry)
    ready = [worker.name for worker in workers if worker.state == WorkerState.WORKER_STATE_READY]
    if not ready:
        raise FailedPrecondition("no worker is ready", remedy="See 'moor workers', or name one with --to.")
    return ready


async def _watched(downloader: DownloaderClient, name: str) -> AsyncIterator[Download]:
    """Yields the download each time it changed, until it is over; takes up a broken stream."""
    sequence = 0
    while True:
        request = WatchDownloadRequest(name=name, after_sequence=sequence)
        try:
            async with reading(downloader.downloads.WatchDownload(request)) as events:
                async for event in events:
                    sequence = event.sequence
                    yield event.download
        except Unavailable:
            await asyncio.sleep(_RESUME_AFTER_S)
        else:
            return
