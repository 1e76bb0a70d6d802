"""Workers are emptied: what they hold moves first, then it stops; and what cannot move says why."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from fleet_tools import GIB, Fleet

from moorage.common.v1 import placement_pb2
from moorage.registry.v1 import artifact_pb2, instance_pb2, instance_service_pb2, worker_service_pb2
from moorage_common.core.errors import Aborted, ErrorReason, NotFound
from moorage_common.rpc.status import from_status

RUNNING = instance_pb2.INSTANCE_STATE_RUNNING
URL = "http://127.0.0.1:9/v1"
BLOCKED = worker_service_pb2.DRAIN_STEP_BLOCKED
MOVING = worker_service_pb2.DRAIN_STEP_MOVING
STOPPING = worker_service_pb2.DRAIN_STEP_STOPPING


@pytest.fixture
def fleet(registry):
    return Fleet(registry.client)


@asynccontextmanager
async def draining(fleet, worker="gpu-01", **fields):
    """The progress of a drain, as it comes."""
    request = worker_service_pb2.DrainWorkerRequest(name=f"workers/{worker}", **fields)
    call = fleet.client.workers.DrainWorker(request)
    try:
        yield aiter(call)
    finally:
        call.cancel()


async def progress(stream, check):
    async with asyncio.timeout(10):
        async for response in stream:
            if check(response):
                return response
    raise AssertionError("the stream ended")


async def uncordon(fleet, worker="gpu-01"):
    request = worker_service_pb2.UncordonWorkerRequest(name=f"workers/{worker}")
    return (await fleet.client.workers.UncordonWorker(request)).worker


async def running(fleet, agent):
    """An instance that serves on the agent's worker."""
    instance = await fleet.bound(agent)
    return await agent.report(instance, RUNNING, endpoint=URL)


async def move(fleet, instance, agent, artifact="artifacts/a1"):
    """Plays scheduler and agent: the instance comes to run on the agent's worker."""
    worker = agent.name.removeprefix("workers/")
    await fleet.nominate((instance, worker))
    await agent.report_copy(artifact, artifact_pb2.COPY_STATE_READY, done_bytes=1000)
    [fresh] = [i for i in await fleet.instances() if i.name == instance.name]
    [result] = await fleet.bind(fleet.binding(fresh, worker))
    assert result.status.code == 0, result.status.message
    return await agent.report(result.instance, RUNNING, endpoint=URL)


async def other_than(fleet, old):
    async with asyncio.timeout(10):
        while True:
            found = [i for i in await fleet.instances() if i.uid != old.uid]
            if found:
                return found[0]
            await asyncio.sleep(0.05)


async def test_another_serves_before_the_drained_one_stops(fleet):
    async with fleet.agent("gpu-01") as first, fleet.agent("gpu-02") as second:
        old = await running(fleet, first)
        async with draining(fleet) as stream:
            begun = await progress(stream, lambda r: r.instances)
            assert begun.worker.cordoned
            assert begun.worker.drain.HasField("start_time")
            assert [(i.instance, i.step) for i in begun.instances] == [(old.name, MOVING)]
            new = await other_than(fleet, old)
            assert list(begun.instances[0].replacements) == [new.name]
            # Nothing takes it away while no other serves.
            await asyncio.sleep(1.5)
            assert (await fleet.instances())[0].state == RUNNING or len(await fleet.instances()) == 2
            assert {i.state for i in await fleet.instances() if i.uid == old.uid} == {RUNNING}
            await move(fleet, new, second)
            stopping = await progress(stream, lambda r: r.instances and r.instances[0].step == STOPPING)
            assert stopping.instances[0].instance == old.name
            await first.report(old, instance_pb2.INSTANCE_STATE_STOPPED)
            done = await progress(stream, lambda r: not r.instances)
            assert done.worker.drain.HasField("complete_time")
            assert await anext(stream, None) is None
        assert [i.uid for i in await fleet.instances()] == [new.uid]
        assert (await fleet.worker("gpu-01")).accelerator_memory[0].claimed_bytes == 0
        assert (await fleet.worker("gpu-02")).accelerator_memory[0].claimed_bytes == GIB


async def test_an_empty_worker_is_drained_at_once(fleet):
    async with fleet.agent(), draining(fleet) as stream:
        response = await anext(stream)
        assert response.worker.drain.HasField("complete_time")
        assert not response.instances
        assert await anext(stream, None) is None


async def test_what_only_waits_for_its_files_is_placed_anew(fleet):
    async with fleet.agent():
        await fleet.create()
        await fleet.resolve_all()
        [instance] = await fleet.instances()
        await fleet.nominate((instance, "gpu-01"))
        async with draining(fleet) as stream:
            await progress(stream, lambda r: not r.instances)
        [instance] = await fleet.instances()
        assert instance.state == instance_pb2.INSTANCE_STATE_PENDING
        assert not instance.worker


async def test_a_drain_that_cannot_go_on_says_which_instance_and_why(fleet):
    async with fleet.agent() as agent:
        old = await running(fleet, agent)
        async with draining(fleet) as stream:
            await anext(stream)
            new = await other_than(fleet, old)
            explanation = placement_pb2.Explanation(
                verdict=placement_pb2.VERDICT_NEVER_FITS, summary="1 worker is cordoned"
            )
            await fleet.client.instances.NominateInstances(
                instance_service_pb2.NominateInstancesRequest(
                    nominations=[
                        instance_service_pb2.Nomination(
                            instance=new.name, etag=new.etag, explanation=explanation
                        )
                    ]
                )
            )
            response = await progress(stream, lambda r: r.instances[0].step == BLOCKED)
            obstacle = from_status(response.instances[0].obstacle)
            assert obstacle.reason is ErrorReason.NO_PLACEMENT
            assert "1 worker is cordoned" in obstacle.message
            assert new.name in obstacle.message
            assert obstacle.remedy
        # The caller has left; it is still being drained, and serves.
        assert (await fleet.worker()).drain.HasField("start_time")
        assert {i.state for i in await fleet.instances() if i.uid == old.uid} == {RUNNING}


async def test_a_drain_that_is_called_off_leaves_things_as_they_were(fleet):
    async with fleet.agent() as agent:
        old = await running(fleet, agent)
        async with draining(fleet) as stream:
            await anext(stream)
            new = await other_than(fleet, old)
            assert new.state == instance_pb2.INSTANCE_STATE_PENDING
            worker = await uncordon(fleet)
            assert not worker.cordoned
            assert not worker.HasField("drain")
            with pytest.raises(Aborted) as caught:
                await progress(stream, lambda _: False)
            assert caught.value.reason is ErrorReason.DRAIN_CANCELLED
        [kept] = await fleet.instances()
        assert (kept.uid, kept.state) == (old.uid, RUNNING)
        assert not kept.evicting


async def test_a_stopped_model_needs_no_replacement(fleet):
    async with fleet.agent() as agent:
        old = await running(fleet, agent)
        async with draining(fleet) as stream:
            await anext(stream)
            await fleet.stop()
            await progress(stream, lambda r: r.instances and r.instances[0].step == STOPPING)
            await agent.report(old, instance_pb2.INSTANCE_STATE_STOPPED)
            await progress(stream, lambda r: not r.instances)
        [kept] = await fleet.instances()
        assert kept.state == instance_pb2.INSTANCE_STATE_STOPPED
        assert not kept.evicting


async def test_a_dry_run_shows_what_is_there_and_begins_nothing(fleet):
    async with fleet.agent() as agent:
        old = await running(fleet, agent)
        async with draining(fleet, validate_only=True) as stream:
            [response] = [each async for each in stream]
        assert [i.instance for i in response.instances] == [old.name]
        worker = await fleet.worker()
        assert not worker.cordoned
        assert not worker.HasField("drain")


async def test_the_same_request_begins_no_second_drain(fleet):
    async with fleet.agent():
        async with draining(fleet, request_id="once") as stream:
            await progress(stream, lambda r: not r.instances)
        await uncordon(fleet)
        async with draining(fleet, request_id="once") as stream:
            with pytest.raises(Aborted):
                await anext(stream)
        assert not (await fleet.worker()).cordoned


async def test_a_drain_survives_its_registry(run_registry):
    async with run_registry() as first:
        fleet = Fleet(first.client)
        async with fleet.agent("gpu-01") as agent, fleet.agent("gpu-02"):
            old = await running(fleet, agent)
            async with draining(fleet) as stream:
                await anext(stream)
            new = await other_than(fleet, old)
    async with run_registry() as second:
        fleet = Fleet(second.client)
        async with fleet.agent("gpu-01") as agent, fleet.agent("gpu-02") as other:
            await agent.report(old, RUNNING, endpoint=URL)
            await move(fleet, new, other)
            async with draining(fleet) as stream:
                await progress(stream, lambda r: r.instances and r.instances[0].step == STOPPING)
                await agent.report(old, instance_pb2.INSTANCE_STATE_STOPPED)
                await progress(stream, lambda r: not r.instances)


async def test_a_worker_that_went_away_while_it_is_drained_is_said_to_be(run_registry):
    async with run_registry(lease_ttl_s=1.0) as registry:
        fleet = Fleet(registry.client)
        async with fleet.agent() as agent:
            old = await running(fleet, agent)
            call = draining(fleet)
            stream = await call.__aenter__()
            await anext(stream)
        response = await progress(stream, lambda r: r.instances[0].step == BLOCKED)
        assert response.instances[0].instance == old.name
        assert from_status(response.instances[0].obstacle).reason is ErrorReason.WORKER_NOT_READY
        await call.__aexit__(None, None, None)


async def test_a_worker_that_is_not_there(fleet):
    async with draining(fleet, "nowhere") as stream:
        with pytest.raises(NotFound):
            await anext(stream)
