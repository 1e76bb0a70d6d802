"""Generations of an instance: restarts in place, and what earlier ones did comes too late."""

import asyncio

import pytest
from fleet_tools import GIB, Agent, Fleet

from moorage.registry.v1 import instance_pb2
from moorage_common.core.errors import Aborted, ErrorReason, FailedPrecondition, InvalidArgument, NotFound

STARTING = instance_pb2.INSTANCE_STATE_STARTING
RUNNING = instance_pb2.INSTANCE_STATE_RUNNING
ERROR = instance_pb2.INSTANCE_STATE_ERROR
STOPPED = instance_pb2.INSTANCE_STATE_STOPPED
UNREACHABLE = instance_pb2.INSTANCE_STATE_UNREACHABLE
URL = "http://x/v1"


async def claimed(fleet: Fleet) -> int:
    return (await fleet.worker()).accelerator_memory[0].claimed_bytes


async def running(fleet: Fleet, agent: Agent) -> instance_pb2.Instance:
    """The one instance of a model, bound to the agent's worker, RUNNING."""
    bound = await fleet.bound(agent)
    return await agent.report(bound, RUNNING, endpoint=URL, restart_count=2, generation=bound.generation)


async def the_instance(fleet: Fleet) -> instance_pb2.Instance:
    [instance] = await fleet.instances()
    return instance


async def bound_again(fleet: Fleet, agent: Agent) -> tuple[instance_pb2.Instance, instance_pb2.Instance]:
    """An instance that was stopped, and was bound to the same worker again meanwhile: before and now."""
    first = await fleet.bound(agent)
    await fleet.stop()
    await agent.report(first, STOPPED, generation=first.generation)
    await fleet.start()
    [result] = await fleet.bind(fleet.binding(await the_instance(fleet)))
    assert result.status.code == 0, result.status
    return first, result.instance


async def test_each_binding_is_a_generation_of_its_own(fleet):
    async with fleet.agent() as agent:
        first, second = await bound_again(fleet, agent)
        assert (first.generation, second.generation) == (1, 2)
        assert first.uid == second.uid


async def test_a_running_instance_is_restarted_where_it_is(fleet):
    async with fleet.agent() as agent:
        before = await running(fleet, agent)
        after = await fleet.restart(before)
        assert (after.state, after.generation) == (STARTING, before.generation + 1)
        assert (after.worker, after.placement) == (before.worker, before.placement)
        assert (after.endpoint, after.restart_count) == ("", 0)
        assert await claimed(fleet) == GIB
        assert await the_instance(fleet) == after
        state = await agent.until_desired(
            lambda d: any(i.generation == after.generation for i in d.instances)
        )
        assert [i.uid for i in state.instances] == [after.uid]
        again = await agent.report(after, RUNNING, endpoint=URL, generation=after.generation)
        assert (again.state, again.endpoint, again.generation) == (RUNNING, URL, after.generation)


async def test_a_failed_instance_is_restarted_without_its_error(fleet):
    async with fleet.agent() as agent:
        bound = await fleet.bound(agent)
        await agent.report(bound, ERROR, error={"code": 13, "message": "it exited"}, restart_count=7)
        after = await fleet.restart(bound)
        assert (after.state, after.restart_count) == (STARTING, 0)
        assert not after.HasField("error")


@pytest.mark.parametrize("state", [STARTING, RUNNING, ERROR, STOPPED])
async def test_what_the_engine_before_a_restart_did_changes_nothing(fleet, state):
    async with fleet.agent() as agent:
        before = await running(fleet, agent)
        after = await fleet.restart(before)
        late = await agent.report(before, state, endpoint=URL, generation=before.generation)
        assert late == after
        assert await the_instance(fleet) == after
        assert await claimed(fleet) == GIB


async def test_a_stop_reported_twice_does_not_free_what_was_claimed_in_between(fleet):
    async with fleet.agent() as agent:
        first, second = await bound_again(fleet, agent)
        late = await agent.report(first, STOPPED, generation=first.generation)
        assert late == second
        assert await the_instance(fleet) == second
        assert await claimed(fleet) == GIB


async def test_a_generation_that_the_registry_never_made_is_refused(fleet):
    async with fleet.agent() as agent:
        bound = await fleet.bound(agent)
        with pytest.raises(FailedPrecondition) as caught:
            await agent.report(bound, STOPPED, generation=bound.generation + 1)
        assert caught.value.reason is ErrorReason.TRANSITION_NOT_ALLOWED
        assert caught.value.remedy
        assert await the_instance(fleet) == bound


async def test_an_instance_out_of_reach_is_restarted_once_its_worker_is_back(run_registry):
    async with run_registry(lease_ttl_s=1.0) as registry:
        fleet = Fleet(registry.client)
        async with fleet.agent() as agent:
            before = await running(fleet, agent)
        async with asyncio.timeout(20):
            while (lost := await the_instance(fleet)).state != UNREACHABLE:
                await asyncio.sleep(0.05)
        after = await fleet.restart(lost)
        assert (after.state, after.generation) == (UNREACHABLE, before.generation + 1)
        async with fleet.agent() as agent:
            # The agent does not know yet: its engine is that of before.
            late = await agent.report(after, RUNNING, endpoint=URL, generation=before.generation)
            assert late.state == UNREACHABLE
            back = await agent.report(after, STARTING, generation=after.generation)
            assert back.state == STARTING
            assert await claimed(fleet) == GIB


@pytest.mark.parametrize("nominated", [False, True])
async def test_what_has_no_engine_yet_stays_as_it_is(fleet, nominated):
    async with fleet.agent():
        await fleet.create()
        await fleet.resolve_all()
        if nominated:
            await fleet.nominate((await the_instance(fleet), "gpu-01"))
        waiting = await the_instance(fleet)
        assert await fleet.restart(waiting) == waiting
        assert await the_instance(fleet) == waiting


async def test_a_request_that_is_sent_again_restarts_once(fleet):
    async with fleet.agent() as agent:
        before = await running(fleet, agent)
        once = await fleet.restart(before, request_id="r1")
        assert await fleet.restart(before, request_id="r1") == once
        assert (await the_instance(fleet)).generation == before.generation + 1
        with pytest.raises(InvalidArgument):
            await fleet.restart(before, request_id="r1", etag=before.etag)


async def test_checking_a_restart_restarts_nothing(fleet):
    async with fleet.agent() as agent:
        before = await running(fleet, agent)
        checked = await fleet.restart(before, validate_only=True)
        assert checked.generation == before.generation + 1
        assert await the_instance(fleet) == before


async def test_a_restart_that_was_decided_on_something_else_is_refused(fleet):
    async with fleet.agent() as agent:
        bound = await fleet.bound(agent)
        now = await agent.report(bound, RUNNING, endpoint=URL)
        with pytest.raises(Aborted) as caught:
            await fleet.restart(bound, etag=bound.etag)
        assert caught.value.reason is ErrorReason.ETAG_MISMATCH
        assert await the_instance(fleet) == now
        assert (await fleet.restart(bound, etag=now.etag)).generation == now.generation + 1


async def test_what_stops_or_has_stopped_is_not_restarted(fleet):
    async with fleet.agent() as agent:
        bound = await fleet.bound(agent)
        await fleet.stop()
        for report in (None, STOPPED):
            if report is not None:
                await agent.report(bound, report, generation=bound.generation)
            before = await the_instance(fleet)
            with pytest.raises(FailedPrecondition) as caught:
                await fleet.restart(before)
            assert caught.value.reason is ErrorReason.TRANSITION_NOT_ALLOWED
            assert "Start its model" in caught.value.remedy
            assert await the_instance(fleet) == before


async def test_there_must_be_an_instance_to_restart(fleet):
    with pytest.raises(NotFound):
        await fleet.restart(instance_pb2.Instance(name="models/none/instances/x"))
