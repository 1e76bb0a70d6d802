"""Downloads as their callers see them: the registry's record, with how far the pull and each worker is."""

from datetime import timedelta

from google.protobuf.duration_pb2 import Duration

from moorage.downloader.v1 import download_service_pb2 as pb
from moorage.registry.v1 import artifact_pb2
from moorage_common.core.names import artifact_copy_name, parse_artifact, parse_worker
from moorage_common.rpc.cache import CacheSnapshot
from moorage_downloader.core.progress import Progress

OVER = frozenset(
    {
        artifact_pb2.DOWNLOAD_STATE_COMPLETE,
        artifact_pb2.DOWNLOAD_STATE_FAILED,
        artifact_pb2.DOWNLOAD_STATE_CANCELLED,
    }
)
"""States that a download does not leave."""


def download_view(record: artifact_pb2.DownloadRecord, snapshot: CacheSnapshot) -> pb.Download:
    """Puts together what is known of a download."""
    artifact = snapshot.artifacts.get(record.artifact)
    view = pb.Download(
        name=record.name,
        uid=record.uid,
        etag=record.etag,
        create_time=record.create_time,
        source=record.source,
        workers=record.workers,
        state=record.state,
        artifact=record.artifact,
        error=record.error if record.HasField("error") else None,
    )
    if artifact is None:
        return view
    view.size_bytes = artifact.size_bytes
    view.pull.CopyFrom(
        _progress(artifact.pull.done_bytes, artifact.size_bytes, artifact.pull.bytes_per_second)
    )
    for worker in record.workers:
        name = artifact_copy_name(parse_artifact(artifact.name), parse_worker(worker))
        copy = snapshot.copies.get(name)
        if copy is not None:
            view.worker_progress.append(_worker_progress(worker, copy))
    if artifact.pull.HasField("error") and not view.HasField("error"):
        view.error.CopyFrom(artifact.pull.error)
    return view


def _worker_progress(worker: str, copy: artifact_pb2.ArtifactCopy) -> pb.WorkerProgress:
    return pb.WorkerProgress(
        worker=worker,
        state=copy.state,
        progress=_progress(copy.done_bytes, copy.size_bytes, copy.bytes_per_second),
        error=copy.error if copy.HasField("error") else None,
    )


def _progress(done: int, size: int, rate: int) -> pb.Progress:
    progress = Progress(done_bytes=done, size_bytes=size, bytes_per_second=rate)
    message = pb.Progress(done_bytes=done, size_bytes=size, bytes_per_second=rate)
    if progress.remaining_s is not None:
        remaining = Duration()
        remaining.FromTimedelta(timedelta(seconds=round(progress.remaining_s)))
        message.remaining.CopyFrom(remaining)
    return message
