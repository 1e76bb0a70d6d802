"""Sources, pulls, copies and downloads: leased once, answered once, dropped when nobody wants them."""

import asyncio

import pytest
from fleet_tools import SOURCE
from google.rpc import code_pb2, status_pb2

from moorage.registry.v1 import artifact_pb2, artifact_service_pb2, instance_pb2, model_pb2
from moorage_common.core.errors import Aborted, ErrorReason, NotFound
from moorage_common.rpc.status import to_status

RESOLVED = model_pb2.RESOLUTION_STATE_RESOLVED


async def test_a_source_is_resolved_once_and_pinned(fleet):
    await fleet.create()
    [lease] = await fleet.lease_resolutions()
    assert lease.source == SOURCE
    assert await fleet.lease_resolutions("downloader-2") == []
    await fleet.client.artifacts.ReportResolution(
        artifact_service_pb2.ReportResolutionRequest(lease_id=lease.lease_id, artifact=fleet.artifact())
    )
    model = await fleet.model()
    assert model.resolution.state == RESOLVED
    assert model.resolution.artifact == "artifacts/a1"
    assert (await fleet.get_artifact("artifacts/a1")).size_bytes == 1000


async def test_a_resolution_is_answered_once(fleet):
    await fleet.create()
    [lease] = await fleet.lease_resolutions()
    answer = artifact_service_pb2.ReportResolutionRequest(lease_id=lease.lease_id, artifact=fleet.artifact())
    await fleet.client.artifacts.ReportResolution(answer)
    with pytest.raises(Aborted) as caught:
        await fleet.client.artifacts.ReportResolution(answer)
    assert caught.value.reason is ErrorReason.LEASE_STALE


async def test_a_restarted_downloader_gets_its_leases_back_at_once(fleet):
    await fleet.create()
    [lease] = await fleet.lease_resolutions()
    assert await fleet.lease_resolutions(held=[lease.lease_id]) == []
    [again] = await fleet.lease_resolutions(held=[])
    assert again.lease_id != lease.lease_id


async def test_a_source_that_cannot_be_resolved_fails_the_model_and_a_start_tries_anew(fleet):
    await fleet.create()
    [lease] = await fleet.lease_resolutions()
    missing = to_status(NotFound(f"there is no {SOURCE}", reason=ErrorReason.SOURCE_NOT_FOUND))
    await fleet.client.artifacts.ReportResolution(
        artifact_service_pb2.ReportResolutionRequest(lease_id=lease.lease_id, failure=missing)
    )
    resolution = (await fleet.model()).resolution
    assert resolution.state == model_pb2.RESOLUTION_STATE_FAILED
    assert resolution.error == missing
    assert await fleet.lease_resolutions() == []
    await fleet.start()
    assert len(await fleet.lease_resolutions()) == 1


async def test_a_transient_error_is_told_and_leased_again_after_its_delay(fleet):
    await fleet.create()
    [lease] = await fleet.lease_resolutions()
    away = status_pb2.Status(code=code_pb2.UNAVAILABLE, message="the hub did not answer")
    await fleet.client.artifacts.ReportResolution(
        artifact_service_pb2.ReportResolutionRequest(
            lease_id=lease.lease_id, transient_error=away, retry_delay={"nanos": 1000}
        )
    )
    resolution = (await fleet.model()).resolution
    assert resolution.state == model_pb2.RESOLUTION_STATE_RESOLVING
    assert resolution.error.message == "the hub did not answer"
    [again] = await fleet.lease_resolutions()
    assert again.failed_attempts == 1


async def test_one_pull_whatever_the_number_of_workers(fleet):
    async with fleet.agent("gpu-01"), fleet.agent("gpu-02", node="node-2"):
        await fleet.create(replicas=2)
        artifact = await fleet.resolve_all()
        first, second = await fleet.instances()
        await fleet.nominate((first, "gpu-01"), (second, "gpu-02"))
        [lease] = await fleet.lease_pulls()
        assert lease.artifact.name == artifact
        assert await fleet.lease_pulls("downloader-2") == []
        pull = (await fleet.get_artifact(artifact)).pull
        assert pull.state == artifact_pb2.PULL_STATE_PULLING
        assert pull.address == "127.0.0.1:7602"
        await fleet.client.artifacts.RenewPull(
            artifact_service_pb2.RenewPullRequest(lease_id=lease.lease_id, done_bytes=400)
        )
        assert (await fleet.get_artifact(artifact)).pull.done_bytes == 400
        await fleet.finish_pull(lease)
        done = await fleet.get_artifact(artifact)
        assert done.pull.state == artifact_pb2.PULL_STATE_COMPLETE
        assert done.files[0].sha256 == "ab" * 32


async def test_a_copy_that_is_ready_moves_its_instances_on(fleet):
    async with fleet.agent() as agent:
        await fleet.create(replicas=2)
        artifact = await fleet.resolve_all()
        await fleet.nominate(*((instance, "gpu-01") for instance in await fleet.instances()))
        copy = await agent.report_copy(artifact, artifact_pb2.COPY_STATE_FETCHING, done_bytes=5000)
        assert copy.done_bytes == 1000
        await agent.report_copy(artifact, artifact_pb2.COPY_STATE_READY)
        assert {i.state for i in await fleet.instances()} == {instance_pb2.INSTANCE_STATE_FETCHED}


async def test_a_failed_pull_is_told_where_it_is_waited_for_and_a_start_tries_anew(fleet):
    async with fleet.agent():
        await fleet.create()
        artifact = await fleet.resolve_all()
        [instance] = await fleet.instances()
        await fleet.nominate((instance, "gpu-01"))
        [lease] = await fleet.lease_pulls()
        wrong = status_pb2.Status(code=code_pb2.DATA_LOSS, message="wrong bytes")
        await fleet.client.artifacts.ReportPull(
            artifact_service_pb2.ReportPullRequest(lease_id=lease.lease_id, failure=wrong)
        )
        [waiting] = await fleet.instances()
        assert waiting.state == instance_pb2.INSTANCE_STATE_FETCHING
        assert waiting.error.message == "wrong bytes"
        assert (await fleet.get_artifact(artifact)).pull.state == artifact_pb2.PULL_STATE_FAILED
        await fleet.start()
        [waiting] = await fleet.instances()
        assert not waiting.HasField("error")
        assert len(await fleet.lease_pulls()) == 1


async def test_a_blob_that_is_gone_is_pulled_again(fleet):
    async with fleet.agent() as agent:
        await fleet.create()
        artifact = await fleet.resolve_all()
        [instance] = await fleet.instances()
        await fleet.nominate((instance, "gpu-01"))
        [lease] = await fleet.lease_pulls()
        await fleet.finish_pull(lease)
        gone = to_status(NotFound("no such blob", reason=ErrorReason.BLOB_NOT_FOUND))
        await agent.report_copy(artifact, artifact_pb2.COPY_STATE_FAILED, error=gone)
        assert len(await fleet.lease_pulls()) == 1


async def test_nobody_waits_for_a_stopped_models_artifact(fleet):
    async with fleet.agent() as agent:
        await fleet.create()
        artifact = await fleet.resolve_all()
        [instance] = await fleet.instances()
        await fleet.nominate((instance, "gpu-01"))
        await agent.until_desired(lambda state: state.copies)
        [lease] = await fleet.lease_pulls()
        await fleet.stop()
        assert (await fleet.get_artifact(artifact)).pull.state == artifact_pb2.PULL_STATE_IDLE
        await agent.until_desired(lambda state: not state.copies)
        with pytest.raises(Aborted):
            await fleet.client.artifacts.RenewPull(
                artifact_service_pb2.RenewPullRequest(lease_id=lease.lease_id)
            )


async def download(fleet, *workers, **fields):
    request = artifact_service_pb2.CreateDownloadRecordRequest(
        download=artifact_pb2.DownloadRecord(
            source=SOURCE, workers=[f"workers/{worker}" for worker in workers]
        ),
        **fields,
    )
    return (await fleet.client.artifacts.CreateDownloadRecord(request)).download


async def get_download(fleet, name):
    request = artifact_service_pb2.GetDownloadRecordRequest(name=name)
    return (await fleet.client.artifacts.GetDownloadRecord(request)).download


async def test_a_download_goes_from_its_source_to_every_worker(fleet):
    async with fleet.agent("a") as first, fleet.agent("b", node="node-2") as second:
        made = await download(fleet, "b", "a")
        assert list(made.workers) == ["workers/a", "workers/b"]
        assert (await download(fleet, "a", "b")).name == made.name
        artifact = await fleet.resolve_all()
        assert (await get_download(fleet, made.name)).state == artifact_pb2.DOWNLOAD_STATE_FETCHING
        await first.report_copy(artifact, artifact_pb2.COPY_STATE_READY)
        assert (await get_download(fleet, made.name)).state == artifact_pb2.DOWNLOAD_STATE_FETCHING
        await second.report_copy(artifact, artifact_pb2.COPY_STATE_READY)
        assert (await get_download(fleet, made.name)).state == artifact_pb2.DOWNLOAD_STATE_COMPLETE
        again = await download(fleet, "a", "b")
        assert again.name != made.name
        await fleet.resolve_all()
        assert (await get_download(fleet, again.name)).state == artifact_pb2.DOWNLOAD_STATE_COMPLETE


async def test_a_download_to_nobody_is_refused(fleet):
    with pytest.raises(NotFound) as caught:
        await download(fleet, "nobody")
    assert "workers/nobody" in caught.value.message


async def test_a_cancelled_download_drops_only_what_nothing_else_wants(fleet):
    async with fleet.agent("a"), fleet.agent("b", node="node-2"):
        made = await download(fleet, "a", "b")
        await fleet.create()
        artifact = await fleet.resolve_all()
        [instance] = await fleet.instances()
        await fleet.nominate((instance, "b"))
        cancel = artifact_service_pb2.CancelDownloadRecordRequest(name=made.name)
        cancelled = (await fleet.client.artifacts.CancelDownloadRecord(cancel)).download
        assert cancelled.state == artifact_pb2.DOWNLOAD_STATE_CANCELLED
        request = artifact_service_pb2.ListArtifactCopiesRequest(parent=artifact)
        left = (await fleet.client.artifacts.ListArtifactCopies(request)).copies
        assert [copy.worker for copy in left] == ["workers/b"]
        assert (await fleet.client.artifacts.CancelDownloadRecord(cancel)).download == cancelled


async def fail_pull(fleet, lease):
    wrong = status_pb2.Status(code=code_pb2.DATA_LOSS, message="wrong bytes")
    await fleet.client.artifacts.ReportPull(
        artifact_service_pb2.ReportPullRequest(lease_id=lease.lease_id, failure=wrong)
    )


async def test_a_download_whose_pull_fails_leaves_no_copy_that_nobody_brings(fleet):
    async with fleet.agent() as agent:
        made = await download(fleet, "gpu-01")
        await fleet.resolve_all()
        await agent.until_desired(lambda state: state.copies)
        [lease] = await fleet.lease_pulls()
        await fail_pull(fleet, lease)
        failed = await get_download(fleet, made.name)
        assert failed.state == artifact_pb2.DOWNLOAD_STATE_FAILED
        assert failed.error.message == "wrong bytes"
        await agent.until_desired(lambda state: not state.copies)


async def test_a_copy_that_was_ready_and_is_lost_is_brought_again(fleet):
    async with fleet.agent("a") as first, fleet.agent("b", node="node-2"):
        await download(fleet, "a")
        artifact = await fleet.resolve_all()
        await first.report_copy(artifact, artifact_pb2.COPY_STATE_READY)
        await fleet.create()
        await fleet.resolve_all()
        [instance] = await fleet.instances()
        await fleet.nominate((instance, "b"))
        await fleet.stop()
        assert (await fleet.get_artifact(artifact)).pull.state == artifact_pb2.PULL_STATE_IDLE
        await first.report_copy(artifact, artifact_pb2.COPY_STATE_FETCHING)
        assert (await fleet.get_artifact(artifact)).pull.state == artifact_pb2.PULL_STATE_QUEUED


async def test_a_downloader_that_moved_serves_what_it_pulled_at_its_new_address(fleet):
    async with fleet.agent() as agent:
        await download(fleet, "gpu-01")
        artifact = await fleet.resolve_all()
        [lease] = await fleet.lease_pulls(address="127.0.0.1:1")
        await fleet.finish_pull(lease)
        assert await fleet.lease_pulls("downloader-2", address="127.0.0.1:3") == []
        assert await fleet.lease_pulls(address="127.0.0.1:2") == []
        assert (await fleet.get_artifact(artifact)).pull.address == "127.0.0.1:2"
        await agent.until_desired(lambda state: [*state.copies[0].read_from] == ["127.0.0.1:2"])


async def test_reports_that_come_together_are_taken_together_and_refused_one_by_one(fleet):
    """Three agents with a copy each, of which one's lease is another's by now, and a copy that nobody wants."""
    ready = artifact_pb2.COPY_STATE_READY
    async with (
        fleet.agent("gpu-01") as one,
        fleet.agent("gpu-02", node="n2") as two,
        fleet.agent("gpu-03", node="n3") as late,
    ):
        await fleet.create(replicas=3)
        artifact = await fleet.resolve_all()
        first, second, third = await fleet.instances()
        await fleet.nominate((first, "gpu-01"), (second, "gpu-02"), (third, "gpu-03"))
        late.lease_id = "another"
        told = await asyncio.gather(
            *(agent.report_copy(artifact, ready) for agent in (one, two, late, two)),
            one.report_copy("artifacts/unknown", ready),
            return_exceptions=True,
        )
        assert [copy.state for copy in (*told[:2], told[3])] == [ready] * 3
        assert told[2].reason is ErrorReason.LEASE_STALE
        assert isinstance(told[4], NotFound)
        states = {i.worker: i.state for i in await fleet.instances()}
        fetched, fetching = instance_pb2.INSTANCE_STATE_FETCHED, instance_pb2.INSTANCE_STATE_FETCHING
        assert states == {
            "workers/gpu-01": fetched,
            "workers/gpu-02": fetched,
            "workers/gpu-03": fetching,
        }
