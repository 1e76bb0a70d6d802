from moorage.downloader.v1.download_service_pb2 import Download, Progress, WorkerProgress
from moorage.registry.v1.artifact_pb2 import CopyState, DownloadState
from moorage_cli.views.download import download_status
from moorage_cli.views.milestones import Transfer
from moorage_common.core.errors import Cancelled, DataLoss, ErrorReason
from moorage_common.rpc.status import to_status


def test_a_download_on_its_way() -> None:
    status = download_status(
        Download(
            state=DownloadState.DOWNLOAD_STATE_FETCHING,
            artifact="artifacts/a",
            size_bytes=1024,
            pull=Progress(done_bytes=512, size_bytes=1024, bytes_per_second=7),
            worker_progress=[
                WorkerProgress(
                    worker="workers/near",
                    state=CopyState.COPY_STATE_READY,
                    progress=Progress(done_bytes=1024, size_bytes=1024),
                ),
                WorkerProgress(
                    worker="workers/far",
                    state=CopyState.COPY_STATE_FETCHING,
                    progress=Progress(done_bytes=1, size_bytes=1024),
                ),
            ],
        )
    )
    assert [milestone.text for milestone in status.milestones] == [
        "artifacts/a, 1.00 KiB",
        "1.00 KiB on workers/near, verified",
    ]
    assert status.transfers == (
        Transfer("from its source", 512, 1024, 7),
        Transfer("onto workers/far", 1, 1024, 0),
    )
    assert status.error is None


def test_the_ends_of_a_download() -> None:
    complete = download_status(Download(state=DownloadState.DOWNLOAD_STATE_COMPLETE))
    assert (complete.error, complete.transfers) == (None, ())
    cancelled = download_status(Download(state=DownloadState.DOWNLOAD_STATE_CANCELLED))
    assert isinstance(cancelled.error, Cancelled)
    failure = to_status(DataLoss("not what was promised", reason=ErrorReason.DIGEST_MISMATCH))
    failed = download_status(Download(state=DownloadState.DOWNLOAD_STATE_FAILED, error=failure))
    assert isinstance(failed.error, DataLoss)
