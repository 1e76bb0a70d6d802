"""How far a download is."""

from dataclasses import dataclass

from moorage.downloader.v1.download_service_pb2 import Download, Progress, WorkerProgress
from moorage.registry.v1.artifact_pb2 import CopyState, DownloadState
from moorage_cli.views.milestones import Mark, Milestone, Transfer
from moorage_cli.views.words import size
from moorage_common.core.errors import Cancelled, MoorageError
from moorage_common.rpc.status import from_status


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadStatus:
    """Everything there is to tell about a download at one moment."""

    milestones: tuple[Milestone, ...]
    transfers: tuple[Transfer, ...]
    error: MoorageError | None
    """Why it is over without being complete."""


def download_status(download: Download) -> DownloadStatus:
    """Returns how far a download is."""
    told: list[Milestone] = []
    if download.artifact:
        told.append(Milestone(Mark.DONE, "resolved", f"{download.artifact}, {size(download.size_bytes)}"))
    elif download.error.message and download.state == DownloadState.DOWNLOAD_STATE_RESOLVING:
        told.append(Milestone(Mark.TROUBLE, "source", f"{download.error.message} (tried again)"))
    told += [milestone for each in download.worker_progress for milestone in _worker_milestones(each)]
    return DownloadStatus(
        milestones=tuple(told), transfers=tuple(_transfers(download)), error=_error(download)
    )


def _worker_milestones(worker: WorkerProgress) -> list[Milestone]:
    if worker.state == CopyState.COPY_STATE_READY:
        text = f"{size(worker.progress.size_bytes)} on {worker.worker}, verified"
        return [Milestone(Mark.DONE, "fetched", text)]
    if worker.error.message:
        return [Milestone(Mark.TROUBLE, "fetch", f"{worker.worker}: {worker.error.message} (tried again)")]
    return []


def _transfers(download: Download) -> list[Transfer]:
    if download.state != DownloadState.DOWNLOAD_STATE_FETCHING:
        return []
    shown: list[Transfer] = []
    if download.pull.done_bytes < download.pull.size_bytes:
        shown.append(_transfer("from its source", download.pull))
    shown += [
        _transfer(f"onto {worker.worker}", worker.progress)
        for worker in download.worker_progress
        if worker.state in (CopyState.COPY_STATE_FETCHING, CopyState.COPY_STATE_VERIFYING)
    ]
    return shown


def _transfer(label: str, progress: Progress) -> Transfer:
    return Transfer(label, progress.done_bytes, progress.size_bytes, progress.bytes_per_second)


def _error(download: Download) -> MoorageError | None:
    match download.state:
        case DownloadState.DOWNLOAD_STATE_FAILED:
            return from_status(download.error)
        case DownloadState.DOWNLOAD_STATE_CANCELLED:
            return Cancelled(f"{download.name} was cancelled", resource=download.name)
        case _:
            return None
