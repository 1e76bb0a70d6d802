"""What agents measure of instances: stored with them, seen by watchers, and of no concern to nodes."""

import asyncio

import pytest
from fleet_tools import Fleet
from google.protobuf.timestamp_pb2 import Timestamp

from moorage.registry.v1 import instance_pb2, worker_service_pb2
from moorage_common.core.errors import InvalidArgument

RUNNING = instance_pb2.INSTANCE_STATE_RUNNING


def performance(speed=50.0, **others):
    return instance_pb2.InstancePerformance(
        decode_tokens_per_s=speed,
        prefill_tokens_per_s=500.0,
        concurrent_requests=1.0,
        generated_tokens=1000,
        prompt_tokens=2000,
        last_activity_time=Timestamp(seconds=1_800_000_000),
        **others,
    )


def measured(instance, what, **others):
    values = {"instance_uid": instance.uid, "generation": instance.generation, "performance": what, **others}
    return worker_service_pb2.NodeMeasurements(instances=[worker_service_pb2.InstanceMeasurement(**values)])


async def until(probe, check, within_s=15):
    async with asyncio.timeout(within_s):
        while not check(found := await probe()):
            await asyncio.sleep(0.05)
    return found


@pytest.fixture
async def quick(run_registry):
    """A registry that writes heartbeats together often, and a fleet on it."""
    async with run_registry(lease_ttl_s=1.5) as running:
        yield Fleet(running.client)


async def serving(fleet, agent):
    """An instance that runs on the agent's worker."""
    instance = await fleet.bound(agent)
    return await agent.report(instance, RUNNING, generation=instance.generation)


async def only(fleet):
    [found] = await fleet.instances()
    return found


async def test_an_instance_shows_what_its_agent_measured(quick):
    async with quick.agent() as agent:
        running = await serving(quick, agent)
        agent.beat(measurements=measured(running, performance()))
        found = await until(lambda: only(quick), lambda found: found.HasField("performance"))
        assert found.performance == performance()
        assert found.version == running.version + 1
        assert found.state == RUNNING


async def test_what_is_of_another_generation_worker_or_instance_is_passed_over(quick):
    async with quick.agent() as agent, quick.agent("gpu-02", node="node-2") as other:
        running = await serving(quick, agent)
        agent.beat(measurements=measured(running, performance(), generation=running.generation + 1))
        agent.beat(measurements=measured(running, performance(), instance_uid="nobody"))
        other.beat(measurements=measured(running, performance()))
        await asyncio.sleep(1.0)
        assert await only(quick) == running


async def test_the_same_again_is_no_change(quick):
    async with quick.agent() as agent:
        running = await serving(quick, agent)
        agent.beat(measurements=measured(running, performance()))
        found = await until(lambda: only(quick), lambda found: found.HasField("performance"))
        agent.beat(measurements=measured(running, performance()))
        await asyncio.sleep(1.0)
        assert (await only(quick)).version == found.version


async def test_a_new_generation_has_nothing_measured_yet(quick):
    async with quick.agent() as agent:
        running = await serving(quick, agent)
        agent.beat(measurements=measured(running, performance()))
        await until(lambda: only(quick), lambda found: found.HasField("performance"))
        restarted = await quick.restart(running)
        assert not restarted.HasField("performance")


async def test_the_first_heartbeat_of_a_stream_may_carry_it(quick):
    async with quick.agent() as agent:
        running = await serving(quick, agent)

        async def requests():
            yield worker_service_pb2.HeartbeatRequest(
                worker=agent.name, lease_id=agent.lease_id, measurements=measured(running, performance(75.0))
            )
            await asyncio.sleep(60)

        stream = quick.client.workers.Heartbeat(requests())
        async for _ in stream:
            break
        assert (await only(quick)).performance.decode_tokens_per_s == 75.0


@pytest.mark.parametrize("speed", [-1.0, float("nan"), float("inf")])
async def test_no_speed_is_none(quick, speed):
    registered = await quick.register()

    async def requests():
        yield worker_service_pb2.HeartbeatRequest(
            worker="workers/gpu-01",
            lease_id=registered.lease_id,
            measurements=worker_service_pb2.NodeMeasurements(
                instances=[
                    worker_service_pb2.InstanceMeasurement(instance_uid="u", performance=performance(speed))
                ]
            ),
        )

    with pytest.raises(InvalidArgument, match="decode_tokens_per_s"):
        async for _ in quick.client.workers.Heartbeat(requests()):
            pass
