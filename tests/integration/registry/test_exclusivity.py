"""Each worker can serve only one distributed vLLM instance at a time, whoever binds at the same moment."""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from random import Random

import asyncpg
import pytest
from fleet_tools import GIB, Fleet
from google.rpc import code_pb2

from moorage.common.v1 import engine_pb2
from moorage.registry.v1 import instance_pb2, model_pb2
from moorage_common.core.errors import ErrorReason, FailedPrecondition, Unavailable
from moorage_common.rpc.channels import ChannelConfig
from moorage_common.rpc.clients import RegistryClient
from moorage_common.rpc.status import from_status
from moorage_common.runtime.telemetry import Telemetry
from moorage_registry.core.records import Explained, Member
from moorage_registry.store import members, placements, removal

WORKERS = tuple(f"w{number}" for number in range(8))
STOPPED = instance_pb2.INSTANCE_STATE_STOPPED
RULE = "each worker can serve only one distributed vLLM instance at a time"


async def deadlocks(database):
    # What a backend counted is shown within a second of its being idle.
    await asyncio.sleep(1.5)
    connection = await asyncpg.connect(database.superuser)
    found = await connection.fetchval(
        "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    )
    await connection.close()
    return found


async def held(database):
    """How many distributed vLLM instances each worker takes part in."""
    connection = await asyncpg.connect(database.owner)
    found = await connection.fetch("SELECT worker_id, instance_uid FROM instance_members WHERE exclusive")
    overcommitted = await connection.fetch("SELECT * FROM memory_pools WHERE claimed > capacity")
    sums = await connection.fetch(
        """SELECT worker_id, pool, claimed, coalesce(sum(size_bytes), 0) AS held
        FROM memory_pools LEFT JOIN claims USING (worker_id, pool) GROUP BY worker_id, pool, claimed"""
    )
    await connection.close()
    assert not overcommitted
    assert all(row["claimed"] == row["held"] for row in sums)
    return Counter(row["worker_id"] for row in found)


class Schedulers:
    """Several clients of two registries on one database."""

    def __init__(self, addresses, clients, stack):
        self.fleets = []
        self._addresses, self._count, self._stack = addresses, clients, stack

    async def connect(self):
        for number in range(self._count):
            config = ChannelConfig(target=self._addresses[number % len(self._addresses)], wait_for_ready=True)
            opened = RegistryClient.connect(config, telemetry=Telemetry(service="test"))
            self.fleets.append(Fleet(await self._stack.enter_async_context(opened)))
        return self.fleets


@pytest.fixture
async def schedulers(run_registry):
    """Four clients, two of each of two registries."""
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(run_registry())
        second = await stack.enter_async_context(run_registry())
        yield await Schedulers([first.address, second.address], 4, stack).connect()


async def race(fleets, bindings):
    """Binds all at once, dealt out to the clients; returns a result for each, by the instance's name."""

    async def bind(fleet, binding):
        [result] = await fleet.bind(binding)
        return binding, result

    calls = [bind(fleets[n % len(fleets)], binding) for n, binding in enumerate(bindings)]
    return await asyncio.gather(*calls)


def judge(answers):
    """Winners' workers by instance; every loser has the semantic error, of an instance that won."""
    won = {
        binding.instance: {binding.placement.worker, *binding.placement.subordinates}
        for binding, result in answers
        if result.status.code == code_pb2.OK
    }
    for binding, result in answers:
        if binding.instance in won:
            continue
        error = from_status(result.status)
        assert isinstance(error, FailedPrecondition)
        assert error.reason is ErrorReason.DISTRIBUTED_VLLM_EXCLUSIVE
        worker, instance = error.metadata["worker"], error.metadata["instance"]
        assert error.message == f"{RULE}; {worker} already serves {instance}"
        assert worker in {binding.placement.worker, *binding.placement.subordinates}
        assert worker in won[instance]
        assert result.instance.state == instance_pb2.INSTANCE_STATE_PENDING
    return won


@pytest.mark.rule("one-winner", "exclusive-reason")
async def test_of_fifty_binds_that_share_a_worker_exactly_one_wins(schedulers, database):
    fleet, random = schedulers[0], Random(50)
    async with fleet.agents(*WORKERS, gpu_bytes=80 * GIB) as agents:
        found = await fleet.ready_on(agents, replicas=50)
        before = await deadlocks(database)
        bindings = []
        for instance in found:
            chosen = ["w3", *random.sample([w for w in WORKERS if w != "w3"], random.randint(1, 3))]
            random.shuffle(chosen)
            bindings.append(fleet.binding_over(instance, *chosen))
        won = judge(await race(schedulers, bindings))
        assert len(won) == 1
        assert await deadlocks(database) == before
        [workers] = won.values()
        assert await held(database) == {worker.removeprefix("workers/"): 1 for worker in workers}


@pytest.mark.rule("one-distributed-vllm", "one-winner")
@pytest.mark.parametrize("seed", range(3))
async def test_fifty_binds_on_overlapping_workers_give_each_worker_to_one_at_most(schedulers, database, seed):
    fleet, random = schedulers[0], Random(seed)
    async with fleet.agents(*WORKERS, gpu_bytes=80 * GIB) as agents:
        found = await fleet.ready_on(agents, replicas=50)
        before = await deadlocks(database)
        bindings = [
            fleet.binding_over(instance, *random.sample(WORKERS, random.randint(2, 4))) for instance in found
        ]
        won = judge(await race(schedulers, bindings))
        taken = Counter(worker.removeprefix("workers/") for workers in won.values() for worker in workers)
        assert set(taken.values()) == {1}
        assert await held(database) == taken
        assert await deadlocks(database) == before


@pytest.mark.rule("one-winner", "ledger")
async def test_binds_and_stops_at_once_leave_no_deadlock_and_nobody_twice(schedulers, database):
    """Members confirm their stops, in any order, while others are bound to the same workers."""
    fleet, random, models, enough = schedulers[0], Random(7), ("m0", "m1", "m2"), 12
    async with fleet.agents(*WORKERS, gpu_bytes=80 * GIB) as agents:
        by_name = {agent.name: agent for agent in agents}
        for model in models:
            await fleet.ready_on(agents, model, replicas=4)
        before = await deadlocks(database)
        bound = 0

        async def bind_some(client):
            nonlocal bound
            while bound < enough:
                waiting = [i for model in models for i in await client.instances(model) if not i.worker]
                chosen = random.sample(waiting, min(3, len(waiting)))
                bindings = [client.binding_over(i, *random.sample(WORKERS, 2)) for i in chosen]
                results = await client.bind(*bindings) if bindings else []
                bound += sum(result.status.code == code_pb2.OK for result in results)

        async def stop_some(client):
            while bound < enough:
                for instance in await client.instances(random.choice(models)):
                    parts = [instance.worker, *instance.subordinates] if instance.worker else []
                    said = [
                        by_name[w].report(instance, STOPPED, generation=instance.generation) for w in parts
                    ]
                    await asyncio.gather(*said)

        async with asyncio.timeout(60):
            await asyncio.gather(*map(bind_some, schedulers[:2]), *map(stop_some, schedulers[2:]))
        assert set((await held(database)).values()) <= {1}
        assert await deadlocks(database) == before


@pytest.mark.rule("ledger")
async def test_a_removal_locks_the_workers_of_what_it_ends_in_the_one_order(fleet, store, database):
    """It gives memory back on other workers too: who locks its own first waits for binds that wait for it."""
    async with fleet.agents("a", "b") as agents:
        [instance] = await fleet.ready_on(agents)
        await fleet.bind_over(instance, "a", "b")
        by_uid = sorted([await fleet.worker("a"), await fleet.worker("b")], key=lambda worker: worker.uid)
        first, last = (worker.name.removeprefix("workers/") for worker in by_uid)
        holder = await asyncpg.connect(database.owner)
        async with holder.transaction():
            await holder.execute("SELECT FROM workers WHERE id = $1 FOR UPDATE", first)
            removing = asyncio.create_task(
                store.transact(
                    lambda tx: removal.remove_worker(tx, last, "", force=True, nobody_left={"code": 5})
                )
            )
            async with asyncio.timeout(10):
                while not await holder.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
                    await asyncio.sleep(0.01)
            await holder.execute("SELECT FROM workers WHERE id = $1 FOR UPDATE NOWAIT", last)
        await holder.close()
        await removing
        assert (await fleet.instances("big"))[0].state == instance_pb2.INSTANCE_STATE_STOPPING


@pytest.mark.rule("until-stopped")
async def test_it_counts_until_every_member_has_confirmed(fleet):
    async with fleet.agents("a", "b", "c") as (a, b, c):
        first, second = await fleet.ready_on([a, b, c], replicas=2)
        bound = (await fleet.bind_over(first, "a", "b")).instance
        await a.report(bound, STOPPED)
        for workers, busy in ((("a", "c"), "a"), (("c", "b"), "b")):
            [second] = [i for i in await fleet.instances("big") if i.uid == second.uid]
            error = from_status((await fleet.bind_over(second, *workers)).status)
            assert error.metadata == {"worker": f"workers/{busy}", "instance": first.name}
        await b.report(bound, STOPPED)
        [second] = [i for i in await fleet.instances("big") if i.uid == second.uid]
        assert (await fleet.bind_over(second, "c", "b")).status.code == code_pb2.OK


@pytest.mark.rule("others-do-not-count")
async def test_one_worker_alone_and_other_engines_do_not_count(fleet, database):
    async with fleet.agents("a", "b", gpu_bytes=80 * GIB) as agents:
        spread, alone, more = await fleet.ready_on(agents, replicas=3)
        llamas = await fleet.ready_on(agents, "llama", safetensors=False, replicas=2)
        assert (await fleet.bind_over(llamas[0], "a", "b")).status.code == code_pb2.OK
        assert (await fleet.bind_over(alone, "a")).status.code == code_pb2.OK
        assert (await fleet.bind_over(spread, "a", "b")).status.code == code_pb2.OK
        assert (await fleet.bind_over(llamas[1], "b", "a")).status.code == code_pb2.OK
        assert (await fleet.bind_over(more, "b")).status.code == code_pb2.OK
        assert await held(database) == {"a": 1, "b": 1}


async def test_a_refused_bind_sends_a_fetched_instance_back_to_be_placed(fleet):
    async with fleet.agents("a", "b", "c") as agents:
        first, second = await fleet.ready_on(agents, replicas=2)
        fetched = (await fleet.nominate_over(second, "b", "c")).instance
        await fleet.bind_over(first, "a", "b")
        result = await fleet.bind_over(fetched, "b", "c")
        assert from_status(result.status).reason is ErrorReason.DISTRIBUTED_VLLM_EXCLUSIVE
        assert result.instance.state == instance_pb2.INSTANCE_STATE_PENDING


async def test_a_registry_that_dies_while_it_binds_leaves_nothing_taken(fleet, store, database):
    async with fleet.agents("a", "b") as agents:
        [instance] = await fleet.ready_on(agents)
        _, model_id, _, instance_id = instance.name.split("/")
        binding = placements.Binding(
            model_id=model_id,
            instance_id=instance_id,
            etag=instance.etag,
            explanation=Explained({}, b""),
            worker_id="a",
            subordinates=("b",),
            engine=None,
            placement={"worker": "workers/a"},
            claims=tuple((worker, f"GPU-{worker}-0", GIB) for worker in "ab"),
        )
        bound, dead = asyncio.Event(), asyncio.Event()

        async def work(tx):
            [result] = await placements.bind(tx, [binding])
            assert result.error is None
            bound.set()
            await dead.wait()

        binding_now = asyncio.create_task(store.transact(work))
        await bound.wait()
        connection = await asyncpg.connect(database.superuser)
        assert await connection.fetchval(
            """SELECT bool_and(pg_terminate_backend(pid)) FROM pg_stat_activity
            WHERE datname = current_database() AND state = 'idle in transaction'"""
        )
        await connection.close()
        dead.set()
        with pytest.raises(Unavailable):
            await binding_now
        assert await held(database) == {}
        assert (await fleet.bind_over(instance, "a", "b")).status.code == code_pb2.OK


# The database is the last line


@pytest.mark.rule("one-winner", "one-distributed-vllm")
async def test_postgresql_itself_lets_no_worker_take_part_twice(fleet, database):
    async with fleet.agents("a", "b") as agents:
        first, second = await fleet.ready_on(agents, replicas=2)
        await fleet.bind_over(first, "a", "b")
        connection = await asyncpg.connect(database.application)
        insert = """INSERT INTO instance_members (instance_uid, worker_id, rank, exclusive, state, endpoint, stopped_at)
                    VALUES ($1, 'b', 0, $2, 'STARTING', '', NULL)"""
        with pytest.raises(asyncpg.UniqueViolationError, match="instance_members_exclusive_key"):
            await connection.execute(insert, second.uid, True)
        await connection.execute(insert, second.uid, False)
        await connection.close()


async def test_what_only_the_constraint_sees_is_told_as_the_same_rule(fleet, store):
    async with fleet.agents("a", "b") as agents:
        first, second = await fleet.ready_on(agents, replicas=2)
        await fleet.bind_over(first, "a", "b")
        member = Member(instance_uid=second.uid, worker_id="b", rank=0, exclusive=True)
        with pytest.raises(FailedPrecondition, match=RULE) as caught:
            await store.transact(lambda tx: members.add(tx, [member]))
        assert caught.value.reason is ErrorReason.DISTRIBUTED_VLLM_EXCLUSIVE


# GPUs chosen by hand


def gpus(*workers, **fields):
    chosen = [model_pb2.GpuSelector(worker=f"workers/{w}", uuid=f"GPU-{w}-0") for w in workers]
    return model_pb2.PlacementPolicy(gpus=chosen, **fields)


@pytest.mark.rule("one-distributed-vllm", "exclusive-reason")
async def test_a_manual_deploy_onto_a_busy_worker_is_refused(fleet):
    async with fleet.agents("a", "b", "c") as agents:
        [instance] = await fleet.ready_on(agents)
        await fleet.bind_over(instance, "a", "b")
        wanted = {"engine": engine_pb2.ENGINE_KIND_VLLM, "placement": gpus("b", "c")}
        with pytest.raises(FailedPrecondition) as caught:
            await fleet.create("manual", **wanted)
        assert caught.value.reason is ErrorReason.DISTRIBUTED_VLLM_EXCLUSIVE
        assert caught.value.metadata == {"worker": "workers/b", "instance": instance.name}
        # Stopped it may be created, and is refused when it is started.
        await fleet.create("manual", desired_state=model_pb2.DESIRED_STATE_STOPPED, **wanted)
        with pytest.raises(FailedPrecondition) as caught:
            await fleet.start("manual")
        assert caught.value.reason is ErrorReason.DISTRIBUTED_VLLM_EXCLUSIVE
        # On one worker alone it is none of this kind, and llama.cpp is not exclusive.
        await fleet.create("alone", engine=engine_pb2.ENGINE_KIND_VLLM, placement=gpus("b"))
        await fleet.create("llama", engine=engine_pb2.ENGINE_KIND_LLAMA_CPP, placement=gpus("b", "c"))
        await fleet.create(
            "choice", engine=engine_pb2.ENGINE_KIND_VLLM, placement=gpus("b", "c", gpus_per_replica=1)
        )


async def test_a_manual_deploy_whose_own_instances_still_stop_is_started_again(fleet):
    async with fleet.agents("a", "b") as agents:
        [instance] = await fleet.ready_on(agents, placement=gpus("a", "b"))
        await fleet.bind_over(instance, "a", "b")
        await fleet.stop("big")
        assert (await fleet.start("big")).desired_state == model_pb2.DESIRED_STATE_RUNNING
        assert (await fleet.instances("big"))[0].state == instance_pb2.INSTANCE_STATE_STOPPING
