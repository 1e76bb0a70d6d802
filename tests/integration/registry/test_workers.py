"""Workers: names, leases, measurements, and what their nodes should hold and run."""

import asyncio

import pytest
from fleet_tools import GIB, Fleet

from moorage.registry.v1 import artifact_pb2, instance_pb2, worker_pb2, worker_service_pb2
from moorage_common.core.errors import (
    Aborted,
    AlreadyExists,
    ErrorReason,
    InvalidArgument,
    NotFound,
)

READY = worker_pb2.WORKER_STATE_READY
UNREACHABLE = worker_pb2.WORKER_STATE_UNREACHABLE


async def until(probe, check):
    async with asyncio.timeout(20):
        while not check(value := await probe()):
            await asyncio.sleep(0.05)
    return value


async def test_a_worker_is_ready_once_its_agent_beats(fleet):
    registered = await fleet.register(zone="a")
    assert registered.worker.state == worker_pb2.WORKER_STATE_NOT_READY
    assert dict(registered.worker.labels) == {"zone": "a"}
    async with fleet.agent():
        worker = await fleet.worker()
        assert worker.state == READY
        assert worker.ram.available_bytes == 64 * GIB
        assert [pool.pool for pool in worker.accelerator_memory] == ["GPU-gpu-01-0"]


async def test_another_node_cannot_take_a_name_and_the_same_one_can(fleet):
    first = await fleet.register(node="node-1")
    with pytest.raises(AlreadyExists) as caught:
        await fleet.register(node="node-2")
    assert caught.value.reason is ErrorReason.WORKER_NAME_TAKEN
    again = await fleet.register(node="node-1")
    assert again.worker.uid == first.worker.uid
    assert again.lease_id != first.lease_id


async def test_a_new_lease_ends_the_one_before(fleet, registry):
    async with fleet.agent() as agent:
        stale = agent.lease_id
        await fleet.register()

        async def beat():
            yield worker_service_pb2.HeartbeatRequest(worker=agent.name, lease_id=stale)

        with pytest.raises(Aborted) as caught:
            async for _ in registry.client.workers.Heartbeat(beat()):
                pass
        assert caught.value.reason is ErrorReason.LEASE_STALE


async def test_an_open_stream_is_told_that_its_lease_is_stale(fleet, registry):
    registered = await fleet.register()
    beats: asyncio.Queue = asyncio.Queue()

    async def requests():
        while True:
            yield await beats.get()

    beat = worker_service_pb2.HeartbeatRequest(worker="workers/gpu-01", lease_id=registered.lease_id)
    beats.put_nowait(beat)
    stream = registry.client.workers.Heartbeat(requests())
    async for _ in stream:
        break
    await fleet.register()
    beats.put_nowait(beat)
    with pytest.raises(Aborted) as caught:
        async for _ in stream:
            pass
    assert caught.value.reason is ErrorReason.LEASE_STALE


async def test_the_same_accelerator_twice_is_refused(fleet, registry):
    facts = worker_pb2.NodeFacts(
        node_id="n", cpu_cores=1, ram_total_bytes=1, agent_address="a:1",
        accelerators=[
            worker_pb2.Accelerator(uuid="GPU-1", kind=worker_pb2.ACCELERATOR_KIND_CUDA, memory_total_bytes=1)
        ] * 2,
    )  # fmt: skip
    with pytest.raises(InvalidArgument):
        await registry.client.workers.RegisterWorker(
            worker_service_pb2.RegisterWorkerRequest(name="workers/w", facts=facts)
        )


async def test_measurements_lower_what_is_available(fleet):
    async with fleet.agent() as agent:
        agent.beat(
            measurements=worker_service_pb2.NodeMeasurements(
                foreign_bytes={"ram": 4 * GIB, "GPU-gpu-01-0": 2 * GIB},
                storage=worker_pb2.Storage(capacity_bytes=100, free_bytes=60),
            )
        )
        worker = await until(fleet.worker, lambda worker: worker.ram.foreign_bytes)
        assert worker.ram.available_bytes == 60 * GIB
        assert worker.accelerator_memory[0].available_bytes == 22 * GIB
        assert worker.storage.free_bytes == 60


async def test_a_heartbeat_that_says_nothing_new_changes_nothing(run_registry):
    async with run_registry(lease_ttl_s=1.5) as running:
        fleet = Fleet(running.client)
        async with fleet.agent() as agent:
            before = await fleet.worker()
            for _ in range(3):
                agent.beat(measurements=worker_service_pb2.NodeMeasurements(foreign_bytes={"ram": 0}))
            # Heartbeats are written together four times in this.
            await asyncio.sleep(1.0)
            assert await fleet.worker() == before


async def test_cordon_and_uncordon_succeed_whatever_the_state(fleet, registry):
    await fleet.register()
    cordon = worker_service_pb2.CordonWorkerRequest(name="workers/gpu-01")
    once = (await registry.client.workers.CordonWorker(cordon)).worker
    again = (await registry.client.workers.CordonWorker(cordon)).worker
    assert once.cordoned
    assert again.version == once.version
    uncordon = worker_service_pb2.UncordonWorkerRequest(name="workers/gpu-01")
    assert not (await registry.client.workers.UncordonWorker(uncordon)).worker.cordoned
    with pytest.raises(NotFound):
        await registry.client.workers.CordonWorker(
            worker_service_pb2.CordonWorkerRequest(name="workers/nobody")
        )


async def test_labels_are_changed_by_mask(fleet, registry):
    worker = (await fleet.register(zone="a")).worker
    request = worker_service_pb2.UpdateWorkerRequest(
        worker=worker_pb2.Worker(name=worker.name, etag=worker.etag, labels={"zone": "b"}),
        update_mask={"paths": ["labels"]},
    )
    assert dict((await registry.client.workers.UpdateWorker(request)).worker.labels) == {"zone": "b"}
    with pytest.raises(Aborted):
        await registry.client.workers.UpdateWorker(request)


async def test_a_lapsed_lease_makes_instances_unreachable_and_a_report_brings_them_back(run_registry):
    async with run_registry(lease_ttl_s=1.0) as running:
        fleet = Fleet(running.client)
        async with fleet.agent() as agent:
            instance = await fleet.bound(agent)
            endpoint = "http://127.0.0.1:9/v1"
            await agent.report(instance, instance_pb2.INSTANCE_STATE_RUNNING, endpoint=endpoint)
        await until(fleet.worker, lambda worker: worker.state == UNREACHABLE)
        [lost] = await until(
            fleet.instances, lambda found: found[0].state == instance_pb2.INSTANCE_STATE_UNREACHABLE
        )
        assert lost.endpoint == ""
        assert (await fleet.worker()).accelerator_memory[0].claimed_bytes == GIB
        async with fleet.agent() as agent:
            state = await agent.report(lost, instance_pb2.INSTANCE_STATE_RUNNING, endpoint=endpoint)
            assert state.state == instance_pb2.INSTANCE_STATE_RUNNING
            assert state.endpoint == endpoint


async def test_what_was_unreachable_for_too_long_is_replaced_and_fenced(run_registry):
    async with run_registry(lease_ttl_s=1.0, replace_after_s=0.5) as running:
        fleet = Fleet(running.client)
        async with fleet.agent() as agent:
            old = await fleet.bound(agent)
            await agent.report(old, instance_pb2.INSTANCE_STATE_RUNNING, endpoint="http://x/v1")
        found = await until(fleet.instances, lambda found: len(found) == 2)
        fresh = next(instance for instance in found if instance.uid != old.uid)
        lost = next(instance for instance in found if instance.uid == old.uid)
        assert fresh.state == instance_pb2.INSTANCE_STATE_PENDING
        assert lost.retiring
        assert (await fleet.worker()).accelerator_memory[0].claimed_bytes == GIB
        async with fleet.agent() as agent:
            # It comes back with its engine running: it is told to stop it, and only then the memory is free.
            await agent.report(lost, instance_pb2.INSTANCE_STATE_RUNNING, endpoint="http://x/v1")
            agent.beat()
            assert (await fleet.worker()).accelerator_memory[0].claimed_bytes == GIB
            await agent.report(lost, instance_pb2.INSTANCE_STATE_STOPPED)
            assert [instance.uid for instance in await fleet.instances()] == [fresh.uid]
            assert (await fleet.worker()).accelerator_memory[0].claimed_bytes == 0


async def test_a_node_is_told_what_to_hold_and_run(fleet):
    async with fleet.agent() as agent:
        await fleet.create()
        artifact = await fleet.resolve_all()
        [instance] = await fleet.instances()
        await fleet.nominate((instance, "gpu-01"))
        state = await agent.until_desired(lambda state: state.copies)
        assert [copy.artifact for copy in state.copies] == [artifact]
        assert not state.copies[0].read_from
        await fleet.lease_pulls(address="127.0.0.1:7602")
        state = await agent.until_desired(lambda state: state.copies[0].read_from)
        assert list(state.copies[0].read_from) == ["127.0.0.1:7602"]
        await agent.report_copy(artifact, artifact_pb2.COPY_STATE_READY, done_bytes=1000)
        [instance] = await fleet.instances()
        await fleet.bind(fleet.binding(instance))
        state = await agent.until_desired(lambda state: state.instances)
        assigned = state.instances[0]
        assert assigned.action == worker_service_pb2.INSTANCE_ACTION_RUN
        assert assigned.entry_point == "model.gguf"
        assert assigned.placement.claims[0].size_bytes == GIB
        await fleet.stop()
        state = await agent.until_desired(
            lambda state: state.instances[0].action == worker_service_pb2.INSTANCE_ACTION_STOP
        )
        await agent.report(instance, instance_pb2.INSTANCE_STATE_STOPPED)
        state = await agent.until_desired(lambda state: not state.instances)
        assert state.copies


async def test_a_card_that_drops_off_the_bus_keeps_its_claims_and_offers_nothing(fleet):
    async with fleet.agent(gpus=2) as agent:
        await fleet.bound(agent)
    await fleet.register(gpus=0)
    worker = await fleet.worker()
    assert len(worker.accelerator_memory) == 0
    await fleet.register(gpus=2)
    assert [pool.claimed_bytes for pool in (await fleet.worker()).accelerator_memory] == [GIB, 0]


async def test_a_model_stopped_and_started_while_its_worker_is_away_gets_another_instance(run_registry):
    async with run_registry(lease_ttl_s=1.0, replace_after_s=0.5) as running:
        fleet = Fleet(running.client)
        async with fleet.agent() as agent:
            old = await fleet.bound(agent)
            await fleet.stop()
        await fleet.start()
        found = await until(fleet.instances, lambda found: len(found) == 2)
        fresh = next(instance for instance in found if instance.uid != old.uid)
        assert fresh.state == instance_pb2.INSTANCE_STATE_PENDING


async def test_a_pool_that_shrank_gives_out_no_more_than_it_has_once_old_claims_end(fleet):
    async with fleet.agent(gpu_bytes=24 * GIB) as agent:
        instance = await fleet.bound(agent, size=20 * GIB)
    async with fleet.agent(gpu_bytes=10 * GIB) as agent:
        assert (await fleet.worker()).accelerator_memory[0].available_bytes == 0
        await agent.report(instance, instance_pb2.INSTANCE_STATE_STOPPED)
        assert (await fleet.worker()).accelerator_memory[0].available_bytes == 10 * GIB
