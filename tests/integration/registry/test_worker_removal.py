"""Workers that are gone for good, with everything that hung on them."""

import pytest
from fleet_tools import GIB, SOURCE, Fleet

from moorage.registry.v1 import (
    artifact_pb2,
    artifact_service_pb2,
    instance_pb2,
    worker_pb2,
    worker_service_pb2,
)
from moorage_common.core.errors import Aborted, ErrorReason, FailedPrecondition, NotFound


@pytest.fixture
def fleet(registry):
    return Fleet(registry.client)


async def remove(fleet, worker="gpu-01", **fields):
    request = worker_service_pb2.DeleteWorkerRequest(name=f"workers/{worker}", **fields)
    return (await fleet.client.workers.DeleteWorker(request)).worker


async def download(fleet, *workers):
    request = artifact_service_pb2.CreateDownloadRecordRequest(
        download=artifact_pb2.DownloadRecord(source=SOURCE, workers=[f"workers/{w}" for w in workers])
    )
    return (await fleet.client.artifacts.CreateDownloadRecord(request)).download


async def get_download(fleet, name):
    request = artifact_service_pb2.GetDownloadRecordRequest(name=name)
    return (await fleet.client.artifacts.GetDownloadRecord(request)).download


async def test_an_idle_worker_goes_and_may_come_back_as_another_node(fleet):
    first = (await fleet.register(node="node-1")).worker
    gone = await remove(fleet)
    assert gone.uid == first.uid
    assert gone.version > first.version
    with pytest.raises(NotFound):
        await fleet.worker()
    second = (await fleet.register(node="node-2")).worker
    assert second.uid != first.uid


async def test_one_that_holds_memory_is_refused_by_the_name_of_each_instance(fleet):
    async with fleet.agent() as agent:
        instance = await fleet.bound(agent)
        with pytest.raises(FailedPrecondition) as caught:
            await remove(fleet)
        assert caught.value.reason is ErrorReason.WORKER_IN_USE
        assert [violation.field for violation in caught.value.violations] == [instance.name]
        assert (await fleet.worker()).accelerator_memory[0].claimed_bytes == GIB


async def test_by_force_what_ran_there_is_placed_anew(fleet):
    async with fleet.agent() as agent:
        instance = await fleet.bound(agent)
        await agent.report(instance, instance_pb2.INSTANCE_STATE_RUNNING, endpoint="http://x/v1")
    await remove(fleet, force=True)
    [again] = await fleet.instances()
    assert again.uid == instance.uid
    assert again.state == instance_pb2.INSTANCE_STATE_PENDING
    assert not again.worker
    assert not again.endpoint


async def test_by_force_a_model_that_was_to_go_is_gone(fleet):
    async with fleet.agent() as agent:
        await fleet.bound(agent)
    await fleet.delete()
    assert (await fleet.instances())[0].state == instance_pb2.INSTANCE_STATE_STOPPING
    await remove(fleet, force=True)
    with pytest.raises(NotFound):
        await fleet.model()


async def test_an_engine_that_still_runs_there_is_stopped_when_its_node_comes_back(fleet):
    async with fleet.agent() as agent:
        instance = await fleet.bound(agent)
        await remove(fleet, force=True)
        # Its stream ends: the lease is gone.
        with pytest.raises(NotFound):
            await agent.report_copy("artifacts/a1", artifact_pb2.COPY_STATE_READY)
        with pytest.raises((NotFound, FailedPrecondition, Aborted)):
            await agent.report(instance, instance_pb2.INSTANCE_STATE_RUNNING, endpoint="http://x/v1")
    registered = await fleet.register()
    assert registered.worker.state == worker_pb2.WORKER_STATE_NOT_READY
    async with fleet.agent() as agent:
        assert (await fleet.worker()).accelerator_memory[0].claimed_bytes == 0


async def test_its_copies_go_and_a_pull_that_nobody_waits_for_is_let_go(fleet):
    async with fleet.agent():
        await fleet.create()
        artifact = await fleet.resolve_all()
        [instance] = await fleet.instances()
        await fleet.nominate((instance, "gpu-01"))
        assert await fleet.lease_pulls()
        await remove(fleet)
    assert (await fleet.get_artifact(artifact)).pull.state == artifact_pb2.PULL_STATE_IDLE
    request = artifact_service_pb2.ListArtifactCopiesRequest(parent=artifact)
    assert not (await fleet.client.artifacts.ListArtifactCopies(request)).copies
    [instance] = await fleet.instances()
    assert instance.state == instance_pb2.INSTANCE_STATE_PENDING


async def test_a_download_goes_on_for_the_workers_that_are_left(fleet):
    await fleet.register("gpu-01", node="node-1")
    async with fleet.agent("gpu-02", node="node-2") as agent:
        record = await download(fleet, "gpu-01", "gpu-02")
        artifact = await fleet.resolve_all()
        await remove(fleet, "gpu-01")
        assert (await get_download(fleet, record.name)).state == artifact_pb2.DOWNLOAD_STATE_FETCHING
        await agent.report_copy(artifact, artifact_pb2.COPY_STATE_READY, done_bytes=1000)
        assert (await get_download(fleet, record.name)).state == artifact_pb2.DOWNLOAD_STATE_COMPLETE


async def test_a_download_for_that_worker_alone_fails_with_the_reason(fleet):
    await fleet.register()
    record = await download(fleet, "gpu-01")
    await remove(fleet)
    failed = await get_download(fleet, record.name)
    assert failed.state == artifact_pb2.DOWNLOAD_STATE_FAILED
    assert "workers/gpu-01" in failed.error.message


async def test_a_source_that_is_resolved_after_a_worker_went_is_fetched_by_the_others(fleet):
    await fleet.register("gpu-01", node="node-1")
    await fleet.register("gpu-02", node="node-2")
    record = await download(fleet, "gpu-01", "gpu-02")
    await remove(fleet, "gpu-01")
    artifact = await fleet.resolve_all()
    request = artifact_service_pb2.ListArtifactCopiesRequest(parent=artifact)
    copies = (await fleet.client.artifacts.ListArtifactCopies(request)).copies
    assert [copy.worker for copy in copies] == ["workers/gpu-02"]
    assert (await get_download(fleet, record.name)).state == artifact_pb2.DOWNLOAD_STATE_FETCHING


async def test_a_stale_etag_and_a_dry_run_remove_nothing(fleet):
    worker = (await fleet.register()).worker
    await remove(fleet, validate_only=True)
    await fleet.register()
    with pytest.raises(Aborted):
        await remove(fleet, etag=worker.etag)
    assert (await fleet.worker()).uid == worker.uid
