"""Downloads as their callers see them."""

from google.rpc import status_pb2

from moorage.registry.v1 import artifact_pb2
from moorage_common.rpc.cache import CacheSnapshot
from moorage_downloader.view import OVER, download_view

RECORD = artifact_pb2.DownloadRecord(
    name="downloads/d1",
    source="hf:o/r",
    workers=["workers/a", "workers/b"],
    state=artifact_pb2.DOWNLOAD_STATE_FETCHING,
    artifact="artifacts/x",
)


def snapshot(**pull):
    artifact = artifact_pb2.Artifact(name="artifacts/x", size_bytes=1000, pull=artifact_pb2.Pull(**pull))
    copy = artifact_pb2.ArtifactCopy(
        name="artifacts/x/copies/b", state=artifact_pb2.COPY_STATE_FETCHING, done_bytes=100, size_bytes=1000
    )
    return CacheSnapshot(artifacts={artifact.name: artifact}, copies={copy.name: copy}, revision=7)


def test_what_is_not_resolved_yet_has_no_progress():
    record = artifact_pb2.DownloadRecord(name="downloads/d1", state=artifact_pb2.DOWNLOAD_STATE_RESOLVING)
    view = download_view(record, CacheSnapshot())
    assert (view.name, view.size_bytes, view.HasField("pull"), len(view.worker_progress)) == (
        "downloads/d1",
        0,
        False,
        0,
    )


def test_the_pull_and_each_worker_are_told():
    view = download_view(RECORD, snapshot(done_bytes=400, bytes_per_second=60))
    assert view.size_bytes == 1000
    assert (view.pull.done_bytes, view.pull.size_bytes, view.pull.remaining.seconds) == (400, 1000, 10)
    [worker] = view.worker_progress  # the other has not been told to fetch yet
    assert (worker.worker, worker.progress.done_bytes) == ("workers/b", 100)
    assert not worker.progress.HasField("remaining")  # nothing is coming
    assert not view.HasField("error")


def test_why_it_failed_goes_before_what_troubles_the_pull():
    trouble = status_pb2.Status(code=14, message="the hub is away")
    assert download_view(RECORD, snapshot(error=trouble)).error == trouble
    final = status_pb2.Status(code=5, message="gone")
    failed = artifact_pb2.DownloadRecord()
    failed.CopyFrom(RECORD)
    failed.error.CopyFrom(final)
    assert download_view(failed, snapshot(error=trouble)).error == final


def test_states_that_are_over():
    names = {artifact_pb2.DownloadState.Name(state) for state in OVER}
    assert names == {f"DOWNLOAD_STATE_{state}" for state in ("COMPLETE", "FAILED", "CANCELLED")}
