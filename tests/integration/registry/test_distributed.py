"""Instances over several workers: nominated, bound, reported on, and stopped by all of them together."""

import asyncio
from contextlib import asynccontextmanager

import asyncpg
import pytest
from fleet_tools import GIB, Fleet
from google.rpc import code_pb2

from moorage.common.v1 import engine_pb2
from moorage.registry.v1 import (
    artifact_pb2,
    artifact_service_pb2,
    instance_pb2,
    instance_service_pb2,
    worker_service_pb2,
)
from moorage_common.core.errors import ErrorReason, FailedPrecondition, InvalidArgument, NotFound
from moorage_common.rpc.status import from_status

PENDING = instance_pb2.INSTANCE_STATE_PENDING
FETCHING = instance_pb2.INSTANCE_STATE_FETCHING
FETCHED = instance_pb2.INSTANCE_STATE_FETCHED
STARTING = instance_pb2.INSTANCE_STATE_STARTING
RUNNING = instance_pb2.INSTANCE_STATE_RUNNING
ERROR = instance_pb2.INSTANCE_STATE_ERROR
UNREACHABLE = instance_pb2.INSTANCE_STATE_UNREACHABLE
STOPPING = instance_pb2.INSTANCE_STATE_STOPPING
STOPPED = instance_pb2.INSTANCE_STATE_STOPPED
READY = artifact_pb2.COPY_STATE_READY
URL = "http://127.0.0.1:9/v1"
STOP = worker_service_pb2.INSTANCE_ACTION_STOP
RUN = worker_service_pb2.INSTANCE_ACTION_RUN
TTL_S = 3.0
"""Of leases that are to lapse: longer than a busy machine keeps an agent from beating."""
FAILED = {"code": code_pb2.INTERNAL, "message": "the engine exited"}


async def claimed(fleet, *workers):
    return [(await fleet.worker(worker)).accelerator_memory[0].claimed_bytes for worker in workers]


async def members(database):
    connection = await asyncpg.connect(database.owner)
    found = await connection.fetch(
        "SELECT worker_id, rank, exclusive, state FROM instance_members ORDER BY rank"
    )
    await connection.close()
    return [tuple(row) for row in found]


async def state_of(fleet, model="big"):
    [instance] = await fleet.instances(model)
    return instance.state


async def until(check):
    async with asyncio.timeout(20):
        while not (found := await check()):
            await asyncio.sleep(0.05)
    return found


async def bound(fleet, agents, **fields):
    """An instance that is bound to the agents' workers, the first of them its primary."""
    [instance] = await fleet.ready_on(agents, **fields)
    result = await fleet.bind_over(instance, *(agent.name.removeprefix("workers/") for agent in agents))
    assert result.status.code == 0, result.status.message
    return result.instance


async def copies(fleet, artifact):
    request = artifact_service_pb2.ListArtifactCopiesRequest(parent=artifact)
    found = (await fleet.client.artifacts.ListArtifactCopies(request)).copies
    return sorted(copy.worker.removeprefix("workers/") for copy in found)


# Nominations


async def test_vllm_needs_the_artifact_on_every_worker_and_is_fetched_once_all_have_it(fleet):
    async with fleet.agents("a", "b") as (a, b):
        await fleet.create("big", engine=engine_pb2.ENGINE_KIND_VLLM)
        artifact = await fleet.resolve_all(fleet.artifact(safetensors=True))
        [instance] = await fleet.instances("big")
        nominated = (await fleet.nominate_over(instance, "a", "b")).instance
        assert (nominated.state, nominated.worker) == (FETCHING, "workers/a")
        assert list(nominated.subordinates) == ["workers/b"]
        assert await copies(fleet, artifact) == ["a", "b"]
        await b.report_copy(artifact, READY, done_bytes=1000)
        assert await state_of(fleet) == FETCHING
        await a.report_copy(artifact, READY, done_bytes=1000)
        assert await state_of(fleet) == FETCHED
        assert await claimed(fleet, "a", "b") == [0, 0]


async def test_llama_cpp_needs_it_on_its_primary_alone(fleet):
    async with fleet.agents("a", "b") as (a, _):
        await fleet.create("big")
        artifact = await fleet.resolve_all()
        [instance] = await fleet.instances("big")
        assert (await fleet.nominate_over(instance, "a", "b")).instance.state == FETCHING
        assert await copies(fleet, artifact) == ["a"]
        await a.report_copy(artifact, READY, done_bytes=1000)
        assert await state_of(fleet) == FETCHED


async def test_copies_that_arrive_at_once_on_all_workers_leave_nothing_waiting(fleet):
    names = [f"w{number}" for number in range(8)]
    async with fleet.agents(*names) as agents:
        await fleet.create("big", replicas=3)
        artifact = await fleet.resolve_all(fleet.artifact(safetensors=True))
        for instance in await fleet.instances("big"):
            await fleet.nominate_over(instance, *names)
        await asyncio.gather(*(agent.report_copy(artifact, READY, done_bytes=1000) for agent in agents))
        assert [instance.state for instance in await fleet.instances("big")] == [FETCHED] * 3


@pytest.mark.rule("claims-later")
async def test_where_the_artifact_is_everywhere_it_is_fetched_at_once(fleet):
    async with fleet.agents("a", "b") as agents:
        [instance] = await fleet.ready_on(agents)
        assert (await fleet.nominate_over(instance, "a", "b")).instance.state == FETCHED


async def test_a_nomination_that_is_dropped_drops_what_was_wanted_on_all_workers(fleet):
    async with fleet.agents("a", "b"):
        await fleet.create("big")
        artifact = await fleet.resolve_all(fleet.artifact(safetensors=True))
        [instance] = await fleet.instances("big")
        await fleet.nominate_over(instance, "a", "b")
        await fleet.stop("big")
        assert await copies(fleet, artifact) == []
        [stopped] = await fleet.instances("big")
        assert (stopped.state, stopped.worker, list(stopped.subordinates)) == (STOPPED, "", [])


async def test_a_copy_that_another_one_waits_for_as_a_subordinates_is_kept(fleet):
    async with fleet.agents("a", "b"):
        await fleet.create("big")
        await fleet.create("twin")
        artifact = await fleet.resolve_all(fleet.artifact(safetensors=True))
        [instance], [twin] = await fleet.instances("big"), await fleet.instances("twin")
        await fleet.nominate_over(instance, "a", "b")
        await fleet.nominate((twin, "b"))
        await fleet.stop("twin")
        assert await copies(fleet, artifact) == ["a", "b"]
        await fleet.stop("big")
        assert await copies(fleet, artifact) == []


@pytest.mark.parametrize("how", ["unknown", "cordoned", "away"])
async def test_every_worker_must_take_instances(fleet, how):
    async with fleet.agents("a", "b") as agents:
        [instance] = await fleet.ready_on(agents)
        other = "nowhere" if how == "unknown" else "b"
        if how == "cordoned":
            await fleet.client.workers.CordonWorker(worker_service_pb2.CordonWorkerRequest(name="workers/b"))
        if how == "away":
            await fleet.register("b", node="node-of-b")
        reason = {
            "unknown": ErrorReason.RESOURCE_NOT_FOUND,
            "cordoned": ErrorReason.WORKER_CORDONED,
            "away": ErrorReason.WORKER_NOT_READY,
        }[how]
        nominated = await fleet.nominate_over(instance, "a", other)
        assert from_status(nominated.status).reason is reason
        [instance] = await fleet.instances("big")
        result = await fleet.bind_over(instance, "a", other)
        assert from_status(result.status).reason is reason
        assert await claimed(fleet, "a") == [0]


# Bindings


async def test_a_binding_claims_on_every_worker_at_once(fleet, database):
    async with fleet.agents("a", "b", "c") as agents:
        instance = await bound(fleet, agents)
        assert (instance.state, instance.worker) == (STARTING, "workers/a")
        assert list(instance.subordinates) == ["workers/b", "workers/c"]
        assert await claimed(fleet, "a", "b", "c") == [GIB] * 3
        assert await members(database) == [
            ("a", 0, True, "STARTING"),
            ("b", 1, True, "STARTING"),
            ("c", 2, True, "STARTING"),
        ]


@pytest.mark.rule("ledger")
async def test_a_binding_that_one_worker_has_no_room_for_takes_nothing_anywhere(fleet, database):
    async with fleet.agents("a", gpu_bytes=8 * GIB) as [a], fleet.agents("b", gpu_bytes=2 * GIB) as [b]:
        [instance] = await fleet.ready_on([a, b])
        result = await fleet.bind_over(instance, "a", "b", size=4 * GIB)
        error = from_status(result.status)
        assert error.reason is ErrorReason.INSUFFICIENT_MEMORY
        assert [shortage.subject for shortage in error.shortages] == ["workers/b/pools/GPU-b-0"]
        assert await claimed(fleet, "a", "b") == [0, 0]
        assert await members(database) == []
        assert result.instance.state == PENDING


async def test_vllm_is_not_bound_before_every_worker_has_the_artifact(fleet):
    async with fleet.agents("a", "b", "c") as (a, _b, _c):
        [instance] = await fleet.ready_on([a])
        error = from_status((await fleet.bind_over(instance, "a", "b", "c")).status)
        assert error.reason is ErrorReason.ARTIFACT_NOT_READY
        assert [violation.field for violation in error.violations] == ["workers/b", "workers/c"]


async def test_llama_cpp_is_bound_once_its_primary_has_it(fleet, database):
    async with fleet.agents("a", "b") as (a, _):
        [instance] = await fleet.ready_on([a], safetensors=False)
        result = await fleet.bind_over(instance, "a", "b")
        assert result.status.code == code_pb2.OK
        assert await members(database) == [("a", 0, False, "STARTING"), ("b", 1, False, "STARTING")]


async def test_a_placement_for_another_engine_is_refused(fleet):
    async with fleet.agents("a") as agents:
        [instance] = await fleet.ready_on(agents)
        binding = fleet.binding_over(instance, "a")
        binding.placement.engine = engine_pb2.ENGINE_KIND_LLAMA_CPP
        [result] = await fleet.bind(binding)
        error = from_status(result.status)
        assert isinstance(error, InvalidArgument)
        assert error.violations[0].field == "placement.engine"


def spoiled(placement, how):
    match how:
        case "claims on no member":
            placement.claims.add(worker="workers/z", pool="ram", size_bytes=1)
        case "a member without claims":
            placement.subordinates.append("workers/c")
        case "no claims":
            del placement.claims[:]
        case "a pool twice":
            placement.claims.add(worker="workers/b", pool="GPU-b-0", size_bytes=1)
        case "a subordinate twice":
            placement.subordinates.append("workers/b")
        case "itself beside itself":
            placement.subordinates.append("workers/a")
        case "nothing claimed":
            placement.claims[1].size_bytes = 0
        case "too many":
            placement.subordinates.extend(f"workers/x{number}" for number in range(255))


@pytest.mark.parametrize(
    ("how", "rule"),
    [
        ("claims on no member", "binding.claims"),
        ("a member without claims", "binding.members"),
        ("no claims", "binding.members"),
        ("a pool twice", "binding.claims"),
        ("a subordinate twice", "binding.subordinates"),
        ("itself beside itself", "binding.subordinates"),
        ("nothing claimed", "binding.claims"),
        ("too many", "binding.subordinates"),
    ],
)
async def test_a_placement_that_makes_no_sense_is_refused_whole(fleet, how, rule):
    instance = instance_pb2.Instance(name="models/big/instances/i", etag="e.1")
    binding = fleet.binding_over(instance, "a", "b")
    spoiled(binding.placement, how)
    with pytest.raises(InvalidArgument) as caught:
        await fleet.bind(binding)
    words = {
        "binding.claims": "each of a pool of its own",
        "binding.members": "one or more of placement.worker and of each",
        "binding.subordinates": "at most 255, each another worker",
    }
    assert any(words[rule] in violation.description for violation in caught.value.violations)


async def test_several_bindings_of_a_bulk_stand_for_themselves(fleet):
    async with fleet.agents("a", "b", "c", "d") as agents:
        first, second, third = await fleet.ready_on(agents, replicas=3)
        results = await fleet.bind(
            fleet.binding_over(first, "a", "b"),
            fleet.binding_over(second, "b", "c"),
            fleet.binding_over(third, "d", "c"),
        )
        assert [result.status.code for result in results] == [
            code_pb2.OK,
            code_pb2.FAILED_PRECONDITION,
            code_pb2.OK,
        ]
        assert from_status(results[1].status).metadata == {"worker": "workers/b", "instance": first.name}
        assert await claimed(fleet, "a", "b", "c", "d") == [GIB] * 4


# What agents are told, and what they say


async def test_every_member_gets_the_assignment_and_knows_the_others(fleet):
    async with fleet.agents("a", "b") as (a, b):
        instance = await bound(fleet, [a, b])
        for agent in (a, b):
            state = await agent.until_desired(lambda state: state.instances)
            [assignment] = state.instances
            assert (assignment.uid, assignment.action) == (instance.uid, RUN)
            assert [(m.worker, m.rank, m.agent_address) for m in assignment.members] == [
                ("workers/a", 0, "127.0.0.1:7603"),
                ("workers/b", 1, "127.0.0.1:7603"),
            ]
        await b.report(instance, RUNNING, endpoint="rpc://b:1")
        state = await a.until_desired(lambda state: state.instances[0].members[1].endpoint)
        assert state.instances[0].members[1].endpoint == "rpc://b:1"
        assert state.instances[0].members[1].state == RUNNING
        assert await state_of(fleet) == STARTING


async def test_an_instance_on_one_worker_has_no_members(fleet):
    async with fleet.agent() as agent:
        await fleet.bound(agent)
        state = await agent.until_desired(lambda state: state.instances)
        assert not state.instances[0].members


async def test_it_runs_when_its_primary_answers_and_fails_when_any_part_does(fleet):
    async with fleet.agents("a", "b") as (a, b):
        instance = await bound(fleet, [a, b])
        running = await a.report(instance, RUNNING, endpoint=URL)
        assert (running.state, running.endpoint) == (RUNNING, URL)
        failed = await b.report(instance, ERROR, error=FAILED)
        assert (failed.state, failed.endpoint) == (ERROR, "")
        assert failed.error.message == "workers/b: the engine exited"
        again = await b.report(instance, RUNNING)
        assert (again.state, again.endpoint) == (RUNNING, URL)
        assert not again.HasField("error")


async def test_reports_repeated_change_nothing(fleet):
    async with fleet.agents("a", "b") as (a, b):
        instance = await bound(fleet, [a, b])
        for agent, state in ((b, STARTING), (b, RUNNING), (a, RUNNING)):
            once = await agent.report(instance, state, endpoint=URL if state == RUNNING else "")
            assert await agent.report(instance, state, endpoint=URL if state == RUNNING else "") == once


async def test_who_takes_no_part_is_not_believed(fleet):
    async with fleet.agents("a", "b", "c") as (a, b, c):
        instance = await bound(fleet, [a, b])
        with pytest.raises(FailedPrecondition, match="is bound to workers/a, workers/b"):
            await c.report(instance, RUNNING, endpoint=URL)
        assert (await c.report(instance, STOPPED)).state == STARTING


async def test_memory_is_free_once_every_member_has_confirmed(fleet, database):
    async with fleet.agents("a", "b", "c") as (a, b, c):
        instance = await bound(fleet, [a, b, c])
        await fleet.stop("big")
        for agent in (a, b, c):
            state = await agent.until_desired(
                lambda state: state.instances and state.instances[0].action == STOP
            )
            assert state.instances[0].uid == instance.uid
        assert (await c.report(instance, STOPPED)).state == STOPPING
        assert (await a.report(instance, STOPPED)).state == STOPPING
        assert (await a.report(instance, STOPPED)).state == STOPPING
        assert await claimed(fleet, "a", "b", "c") == [GIB] * 3
        assert [(worker, state) for worker, _, _, state in await members(database)] == [
            ("a", "STOPPED"),
            ("b", "STARTING"),
            ("c", "STOPPED"),
        ]
        assert (await b.report(instance, STOPPED)).state == STOPPED
        assert await claimed(fleet, "a", "b", "c") == [0] * 3
        assert await members(database) == []
        for agent in (a, b, c):
            await agent.until_desired(lambda state: not state.instances)


async def test_members_that_confirm_at_the_same_moment_leave_nothing_behind(fleet, database):
    names = [f"w{number}" for number in range(8)]
    async with fleet.agents(*names) as agents:
        instance = await bound(fleet, agents)
        await fleet.delete("big")
        await asyncio.gather(*(agent.report(instance, STOPPED) for agent in agents))
        with pytest.raises(NotFound):
            await fleet.model("big")
        assert await claimed(fleet, *names) == [0] * 8
        assert await members(database) == []


async def test_when_one_part_has_stopped_by_itself_the_others_stop_and_all_is_placed_anew(fleet):
    async with fleet.agents("a", "b") as (a, b):
        instance = await bound(fleet, [a, b])
        await a.report(instance, RUNNING, endpoint=URL)
        assert (await b.report(instance, STOPPED)).state == STOPPING
        await a.until_desired(lambda state: state.instances and state.instances[0].action == STOP)
        again = await a.report(instance, STOPPED)
        assert (again.uid, again.state, list(again.subordinates)) == (instance.uid, PENDING, [])


async def test_a_report_of_an_earlier_generation_stops_no_part(fleet):
    async with fleet.agents("a", "b") as (a, b):
        instance = await bound(fleet, [a, b])
        restarted = await fleet.restart(instance)
        assert restarted.generation == instance.generation + 1
        await fleet.stop("big")
        await a.report(instance, STOPPED, generation=instance.generation)
        await b.report(instance, STOPPED, generation=restarted.generation)
        assert await state_of(fleet) == STOPPING
        assert (await a.report(instance, STOPPED, generation=restarted.generation)).state == STOPPED


async def test_a_restart_starts_every_part_again(fleet, database):
    async with fleet.agents("a", "b") as (a, b):
        instance = await bound(fleet, [a, b])
        await a.report(instance, RUNNING, endpoint=URL)
        await b.report(instance, ERROR, error=FAILED)
        again = await fleet.restart(instance)
        assert (again.state, again.endpoint, again.HasField("error")) == (STARTING, "", False)
        assert [state for *_, state in await members(database)] == ["STARTING", "STARTING"]
        for agent in (a, b):
            await agent.until_desired(
                lambda state: state.instances and state.instances[0].generation == again.generation
            )


# Workers that go away


async def test_the_lapse_of_any_member_makes_it_unreachable_until_that_member_reports(run_registry):
    async with run_registry(lease_ttl_s=TTL_S) as registry:
        fleet = Fleet(registry.client)
        async with fleet.agents("a") as [a], beating(a):
            async with fleet.agents("b") as [b], beating(b):
                instance = await bound(fleet, [a, b])
                await b.report(instance, RUNNING)
                await a.report(instance, RUNNING, endpoint=URL)
            await until(lambda: is_in(fleet, UNREACHABLE))
            assert await claimed(fleet, "a", "b") == [GIB] * 2
            # What the other one says does not bring it back.
            assert (await a.report(instance, RUNNING, endpoint=URL)).state == UNREACHABLE
            async with fleet.agents("b") as [b], beating(b):
                assert (await b.report(instance, STARTING)).state == RUNNING


async def test_a_nomination_of_which_a_worker_lapses_is_placed_anew(run_registry):
    async with run_registry(lease_ttl_s=TTL_S) as registry:
        fleet = Fleet(registry.client)
        async with fleet.agents("a") as [a], beating(a):
            async with fleet.agents("b") as [b], beating(b):
                await fleet.create("big")
                await fleet.resolve_all(fleet.artifact(safetensors=True))
                [instance] = await fleet.instances("big")
                await fleet.nominate_over(instance, "a", "b")
            await until(lambda: is_in(fleet, PENDING))


@pytest.mark.rule("until-stopped", "claims-count")
async def test_what_was_out_of_reach_for_too_long_is_replaced_and_holds_all_until_all_confirmed(run_registry):
    async with run_registry(lease_ttl_s=TTL_S, replace_after_s=0.5) as registry:
        fleet = Fleet(registry.client)
        async with fleet.agents("a") as [a], beating(a):
            async with fleet.agents("b") as [b], beating(b):
                old = await bound(fleet, [a, b])
            found = await until(lambda: so_many(fleet, 2))
            [lost] = [instance for instance in found if instance.uid == old.uid]
            [fresh] = [instance for instance in found if instance.uid != old.uid]
            assert (lost.state, lost.retiring) == (STOPPING, True)
            await a.report(old, STOPPED)
            assert await claimed(fleet, "a", "b") == [GIB] * 2
            async with fleet.agents("b") as [b], beating(b):
                # Neither is a free for another one before b has confirmed.
                result = await fleet.bind_over(fresh, "a", "b")
                assert from_status(result.status).metadata["instance"] == old.name
                await b.report(old, STOPPED)
                [left] = await fleet.instances("big")
                assert left.uid == fresh.uid
                assert (await fleet.bind_over(left, "a", "b")).status.code == code_pb2.OK


def is_in(fleet, state):
    async def check():
        return await state_of(fleet) == state

    return check()


async def so_many(fleet, count):
    found = await fleet.instances("big")
    return found if len(found) == count else []


@asynccontextmanager
async def beating(agent):
    """Has an agent keep its lease."""

    async def beat():
        while True:
            agent.beat()
            await asyncio.sleep(0.3)

    task = asyncio.create_task(beat())
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def remove(fleet, worker, *, force=True):
    request = worker_service_pb2.DeleteWorkerRequest(name=f"workers/{worker}", force=force)
    return (await fleet.client.workers.DeleteWorker(request)).worker


@pytest.mark.parametrize("worker", ["a", "b"])
async def test_a_worker_that_takes_part_is_removed_by_force_only(fleet, worker):
    async with fleet.agents("a", "b") as agents:
        instance = await bound(fleet, agents)
        with pytest.raises(FailedPrecondition) as caught:
            await remove(fleet, worker, force=False)
        assert caught.value.reason is ErrorReason.WORKER_IN_USE
        assert [violation.field for violation in caught.value.violations] == [instance.name]


@pytest.mark.parametrize("gone", ["a", "b", "c"])
async def test_by_force_the_others_stop_before_it_is_placed_anew(fleet, database, gone):
    async with fleet.agents("a", "b", "c") as agents:
        instance = await bound(fleet, agents)
        await remove(fleet, gone)
        left = [agent for agent in agents if agent.name != f"workers/{gone}"]
        names = [agent.name.removeprefix("workers/") for agent in left]
        [stopping] = await fleet.instances("big")
        assert stopping.state == STOPPING
        assert [stopping.worker, *stopping.subordinates] == [agent.name for agent in left]
        assert {claim.worker for claim in stopping.placement.claims} == {agent.name for agent in left}
        assert await claimed(fleet, *names) == [GIB] * 2
        assert [worker for worker, *_ in await members(database)] == names
        for agent in left:
            await agent.until_desired(lambda state: state.instances and state.instances[0].action == STOP)
        assert (await left[1].report(instance, STOPPED)).state == STOPPING
        again = await left[0].report(instance, STOPPED)
        assert (again.uid, again.state, again.worker) == (instance.uid, PENDING, "")
        assert await claimed(fleet, *names) == [0] * 2
        assert await members(database) == []


async def test_by_force_the_last_one_that_was_waited_for_ends_the_wait(fleet, database):
    async with fleet.agents("a", "b") as (a, b):
        instance = await bound(fleet, [a, b])
        await fleet.delete("big")
        assert (await a.report(instance, STOPPED)).state == STOPPING
        await remove(fleet, "b")
        with pytest.raises(NotFound):
            await fleet.model("big")
        assert await claimed(fleet, "a") == [0]
        assert await members(database) == []


async def test_all_of_its_workers_may_be_removed_one_after_the_other(fleet):
    async with fleet.agents("a", "b", "c") as agents:
        await bound(fleet, agents)
        for worker in ("a", "b", "c"):
            await remove(fleet, worker)
        [instance] = await fleet.instances("big")
        assert (instance.state, instance.worker) == (PENDING, "")


async def test_a_nomination_of_which_a_worker_is_removed_is_placed_anew(fleet):
    async with fleet.agents("a", "b"):
        await fleet.create("big")
        artifact = await fleet.resolve_all(fleet.artifact(safetensors=True))
        [instance] = await fleet.instances("big")
        await fleet.nominate_over(instance, "a", "b")
        await remove(fleet, "b", force=False)
        assert await state_of(fleet) == PENDING
        assert await copies(fleet, artifact) == []


# Drains


async def drained(fleet, worker):
    """What a drain says first of all, by instance."""
    call = fleet.client.workers.DrainWorker(worker_service_pb2.DrainWorkerRequest(name=f"workers/{worker}"))
    progress = await anext(aiter(call))
    call.cancel()
    return {left.instance: left for left in progress.instances}


async def uncordon(fleet, worker):
    await fleet.client.workers.UncordonWorker(
        worker_service_pb2.UncordonWorkerRequest(name=f"workers/{worker}")
    )


async def test_a_drain_counts_what_the_worker_is_a_subordinate_of(fleet):
    async with fleet.agents("a", "b") as (a, b):
        instance = await bound(fleet, [a, b])
        await a.report(instance, RUNNING, endpoint=URL)
        left = await drained(fleet, "b")
        assert left[instance.name].step == worker_service_pb2.DRAIN_STEP_MOVING
        found = await fleet.instances("big")
        assert {i.name: i.evicting for i in found}[instance.name]
        assert len(found) == 2
        await uncordon(fleet, "b")
        assert not (await fleet.instances("big"))[0].evicting


async def test_a_drain_that_is_called_off_leaves_what_another_drained_worker_holds(fleet):
    async with fleet.agents("a", "b") as (a, b):
        instance = await bound(fleet, [a, b])
        await a.report(instance, RUNNING, endpoint=URL)
        await drained(fleet, "a")
        await drained(fleet, "b")
        await uncordon(fleet, "b")
        assert [i.evicting for i in await fleet.instances("big") if i.uid == instance.uid] == [True]


async def test_a_drain_that_waits_for_another_worker_to_confirm_says_so(run_registry):
    async with run_registry(lease_ttl_s=TTL_S) as registry:
        fleet = Fleet(registry.client)
        async with fleet.agents("a") as [a], beating(a):
            async with fleet.agents("b") as [b], beating(b):
                instance = await bound(fleet, [a, b])
            await until(lambda: is_in(fleet, UNREACHABLE))
            await fleet.stop("big")
            await a.report(instance, STOPPED)
            left = (await drained(fleet, "a"))[instance.name]
            assert left.step == worker_service_pb2.DRAIN_STEP_BLOCKED
            assert "workers/b is UNREACHABLE" in left.obstacle.message


async def test_lists_find_it_by_every_worker(fleet):
    async with fleet.agents("a", "b") as agents:
        instance = await bound(fleet, agents)
        for text in ("worker = workers/a", "subordinates:workers/b"):
            request = instance_service_pb2.ListInstancesRequest(parent="models/-", filter=text)
            found = (await fleet.client.instances.ListInstances(request)).instances
            assert [i.name for i in found] == [instance.name]
