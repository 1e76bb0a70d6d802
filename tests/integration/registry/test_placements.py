"""Nominations and bindings: each item stands for itself, and no memory is given out twice."""

import asyncio

import pytest
from fleet_tools import GIB
from google.rpc import code_pb2

from moorage.registry.v1 import artifact_pb2, instance_pb2, worker_service_pb2
from moorage_common.core.errors import Aborted, ErrorReason, FailedPrecondition, NotFound
from moorage_common.rpc.status import from_status

READY = artifact_pb2.COPY_STATE_READY


async def placed_everywhere(fleet, agent, replicas):
    """A model whose artifact is ready on the agent's worker, with its instances PENDING."""
    await fleet.create(replicas=replicas)
    artifact = await fleet.resolve_all()
    first, *_ = await fleet.instances()
    await fleet.nominate((first, agent.name.removeprefix("workers/")))
    await agent.report_copy(artifact, READY, done_bytes=1000)
    return artifact


async def test_a_nomination_wants_the_artifact_and_claims_nothing(fleet):
    async with fleet.agent() as _:
        await fleet.create()
        artifact = await fleet.resolve_all()
        [instance] = await fleet.instances()
        [result] = await fleet.nominate((instance, "gpu-01"))
        assert result.status.code == code_pb2.OK
        assert result.instance.state == instance_pb2.INSTANCE_STATE_FETCHING
        assert result.instance.worker == "workers/gpu-01"
        assert (await fleet.get_artifact(artifact)).pull.state == artifact_pb2.PULL_STATE_QUEUED
        assert (await fleet.worker()).accelerator_memory[0].claimed_bytes == 0


async def test_an_instance_whose_artifact_is_there_is_fetched_at_once(fleet):
    async with fleet.agent() as agent:
        await placed_everywhere(fleet, agent, replicas=2)
        waiting = next(i for i in await fleet.instances() if i.state == instance_pb2.INSTANCE_STATE_PENDING)
        [result] = await fleet.nominate((waiting, "gpu-01"))
        assert result.instance.state == instance_pb2.INSTANCE_STATE_FETCHED


async def test_a_pending_instance_is_bound_in_one_step_where_its_artifact_is(fleet):
    async with fleet.agent() as agent:
        await placed_everywhere(fleet, agent, replicas=2)
        waiting = next(i for i in await fleet.instances() if i.state == instance_pb2.INSTANCE_STATE_PENDING)
        [result] = await fleet.bind(fleet.binding(waiting))
        assert result.instance.state == instance_pb2.INSTANCE_STATE_STARTING


async def test_no_bind_before_the_artifact_is_ready(fleet):
    async with fleet.agent():
        await fleet.create()
        await fleet.resolve_all()
        [instance] = await fleet.instances()
        [result] = await fleet.bind(fleet.binding(instance))
        error = from_status(result.status)
        assert isinstance(error, FailedPrecondition)
        assert error.reason is ErrorReason.ARTIFACT_NOT_READY


async def test_no_worker_leaves_the_explanation(fleet):
    await fleet.create()
    [instance] = await fleet.instances()
    [result] = await fleet.nominate((instance, ""))
    assert result.instance.state == instance_pb2.INSTANCE_STATE_PENDING
    assert result.instance.explanation.verdict
    assert result.instance.version == instance.version + 1


async def test_items_of_a_bulk_succeed_and_fail_on_their_own(fleet):
    async with fleet.agent():
        await fleet.create(replicas=3)
        await fleet.resolve_all()
        good, stale, unplaced = await fleet.instances()
        stale.etag = "old.1"
        results = await fleet.nominate((good, "gpu-01"), (stale, "gpu-01"), (unplaced, "nowhere"))
        assert [result.index for result in results] == [0, 1, 2]
        assert results[0].status.code == code_pb2.OK
        assert isinstance(from_status(results[1].status), Aborted)
        assert isinstance(from_status(results[2].status), NotFound)
        assert results[2].instance.state == instance_pb2.INSTANCE_STATE_PENDING


async def test_the_same_instance_twice_in_a_bulk_is_decided_once(fleet):
    async with fleet.agent() as agent:
        await placed_everywhere(fleet, agent, replicas=1)
        [instance] = await fleet.instances()
        first, second = await fleet.bind(fleet.binding(instance), fleet.binding(instance))
        assert (first.status.code, second.status.code) == (code_pb2.OK, code_pb2.INVALID_ARGUMENT)
        assert (await fleet.worker()).accelerator_memory[0].claimed_bytes == GIB


async def test_memory_runs_out_exactly_at_capacity_and_says_by_how_much(fleet):
    async with fleet.agent(gpu_bytes=2 * GIB) as agent:
        await placed_everywhere(fleet, agent, replicas=3)
        results = await fleet.bind(*(fleet.binding(i) for i in await fleet.instances()))
        codes = [result.status.code for result in results]
        assert codes == [code_pb2.OK, code_pb2.OK, code_pb2.RESOURCE_EXHAUSTED]
        error = from_status(results[2].status)
        assert error.reason is ErrorReason.INSUFFICIENT_MEMORY
        assert error.shortages[0].subject == "workers/gpu-01/pools/GPU-gpu-01-0"
        assert "0.00 GiB unclaimed" in error.shortages[0].description
        assert (await fleet.worker()).accelerator_memory[0].available_bytes == 0


@pytest.mark.rule("ledger")
async def test_racing_schedulers_never_overcommit(fleet):
    async with fleet.agent(gpu_bytes=5 * GIB) as agent:
        await placed_everywhere(fleet, agent, replicas=12)
        found = await fleet.instances()
        answers = await asyncio.gather(*(fleet.bind(fleet.binding(i)) for i in found))
        won = [a for [a] in answers if a.status.code == code_pb2.OK]
        lost = [a for [a] in answers if a.status.code == code_pb2.RESOURCE_EXHAUSTED]
        assert (len(won), len(lost)) == (5, 7)
        pool = (await fleet.worker()).accelerator_memory[0]
        assert pool.claimed_bytes == 5 * GIB


async def test_a_refused_bind_sends_a_fetched_instance_back_to_be_placed(fleet):
    async with fleet.agent() as agent:
        await placed_everywhere(fleet, agent, replicas=1)
        [instance] = await fleet.instances()
        assert instance.state == instance_pb2.INSTANCE_STATE_FETCHED
        [result] = await fleet.bind(fleet.binding(instance, size=1000 * GIB))
        assert result.status.code == code_pb2.RESOURCE_EXHAUSTED
        assert result.instance.state == instance_pb2.INSTANCE_STATE_PENDING
        assert result.instance.worker == ""


async def test_an_unknown_pool_is_refused(fleet):
    async with fleet.agent() as agent:
        await placed_everywhere(fleet, agent, replicas=1)
        [instance] = await fleet.instances()
        [result] = await fleet.bind(fleet.binding(instance, pool="GPU-imaginary"))
        assert from_status(result.status).reason is ErrorReason.MEMORY_POOL_UNKNOWN


@pytest.mark.parametrize("how", ["cordoned", "away"])
async def test_only_ready_uncordoned_workers_take_instances(fleet, registry, how):
    async with fleet.agent() as agent:
        await placed_everywhere(fleet, agent, replicas=1)
        [instance] = await fleet.instances()
        if how == "cordoned":
            await registry.client.workers.CordonWorker(
                worker_service_pb2.CordonWorkerRequest(name=agent.name)
            )
        else:
            await fleet.register()
        [result] = await fleet.bind(fleet.binding(instance))
        reason = ErrorReason.WORKER_CORDONED if how == "cordoned" else ErrorReason.WORKER_NOT_READY
        assert from_status(result.status).reason is reason


async def test_a_stop_frees_memory_only_once_the_agent_confirms(fleet):
    async with fleet.agent() as agent:
        instance = await fleet.bound(agent)
        await fleet.stop()
        [stopping] = await fleet.instances()
        assert stopping.state == instance_pb2.INSTANCE_STATE_STOPPING
        assert (await fleet.worker()).accelerator_memory[0].claimed_bytes == GIB
        late = await agent.report(instance, instance_pb2.INSTANCE_STATE_RUNNING, endpoint="http://x/v1")
        assert late.state == instance_pb2.INSTANCE_STATE_STOPPING
        stopped = await agent.report(instance, instance_pb2.INSTANCE_STATE_STOPPED)
        assert stopped.state == instance_pb2.INSTANCE_STATE_STOPPED
        assert stopped.last_worker == "workers/gpu-01"
        assert (await fleet.worker()).accelerator_memory[0].claimed_bytes == 0


async def test_a_start_during_a_stop_takes_effect_once_it_has_stopped(fleet):
    async with fleet.agent() as agent:
        instance = await fleet.bound(agent)
        await fleet.stop()
        await fleet.start()
        [still] = await fleet.instances()
        assert still.state == instance_pb2.INSTANCE_STATE_STOPPING
        await agent.report(instance, instance_pb2.INSTANCE_STATE_STOPPED)
        [again] = await fleet.instances()
        assert again.state == instance_pb2.INSTANCE_STATE_PENDING


async def test_a_deleted_model_goes_once_its_last_instance_has_stopped(fleet):
    async with fleet.agent() as agent:
        instance = await fleet.bound(agent)
        going = (await fleet.delete()).model
        assert going.HasField("delete_time")
        with pytest.raises(FailedPrecondition):
            await fleet.start()
        assert not (await agent.report(instance, instance_pb2.INSTANCE_STATE_STOPPED)).name
        with pytest.raises(NotFound):
            await fleet.model()
        assert (await fleet.worker()).accelerator_memory[0].claimed_bytes == 0


async def test_reports_repeated_change_nothing(fleet):
    async with fleet.agent() as agent:
        instance = await fleet.bound(agent)
        once = await agent.report(instance, instance_pb2.INSTANCE_STATE_RUNNING, endpoint="http://x/v1")
        again = await agent.report(instance, instance_pb2.INSTANCE_STATE_RUNNING, endpoint="http://x/v1")
        assert again == once


async def test_a_report_under_a_stale_lease_changes_nothing(fleet):
    async with fleet.agent() as agent:
        instance = await fleet.bound(agent)
        await fleet.register()
        with pytest.raises(Aborted) as caught:
            await agent.report(instance, instance_pb2.INSTANCE_STATE_RUNNING, endpoint="http://x/v1")
        assert caught.value.reason is ErrorReason.LEASE_STALE
        [unchanged] = await fleet.instances()
        assert unchanged.state == instance_pb2.INSTANCE_STATE_STARTING


async def test_an_engine_that_fails_keeps_its_claim_and_tells_why(fleet):
    async with fleet.agent() as agent:
        instance = await fleet.bound(agent)
        failed = await agent.report(
            instance,
            instance_pb2.INSTANCE_STATE_ERROR,
            error={"code": code_pb2.INTERNAL, "message": "the engine exited: out of memory"},
            restart_count=1,
        )
        assert failed.state == instance_pb2.INSTANCE_STATE_ERROR
        assert failed.error.message == "the engine exited: out of memory"
        assert (await fleet.worker()).accelerator_memory[0].claimed_bytes == GIB
        running = await agent.report(
            instance, instance_pb2.INSTANCE_STATE_RUNNING, endpoint="http://x/v1", restart_count=1
        )
        assert not running.HasField("error")
        assert running.restart_count == 1
