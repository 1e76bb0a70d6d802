"""The loop against a registry on paper that takes on, refuses, or is away, as each test says."""

import asyncio
from contextlib import asynccontextmanager
from random import Random

import pytest

from moorage.common.v1 import placement_pb2
from moorage.registry.v1 import instance_pb2
from moorage_common.core.backoff import BackoffPolicy
from moorage_common.core.clock import SystemClock
from moorage_common.core.errors import Aborted, ErrorReason, ResourceExhausted, Unavailable
from moorage_scheduler.commit import Committed
from moorage_scheduler.convert.outcomes import explanation_to_proto, placement_to_proto
from moorage_scheduler.core.policy import ScoringPolicy
from moorage_scheduler.decisions import Action
from moorage_scheduler.loop import Loop
from moorage_scheduler.mirror import Mirror
from moorage_scheduler.retries import Retries

GIB = 2**30
STATE_AFTER = {Action.BIND: "STARTING", Action.NOMINATE: "FETCHING", Action.RECORD: "PENDING"}


class Desk:
    """Takes decisions on as the registry would, unless told to refuse or to be away."""

    def __init__(self, records):
        self.records = records
        self.calls = []
        self.refusals = []
        """What the next decisions are refused for."""
        self.outages = 0
        """How many calls fail as a whole."""

    async def __call__(self, decisions):
        self.calls.append(
            [(d.action, d.instance.name, d.placement and d.placement.worker) for d in decisions]
        )
        if self.outages:
            self.outages -= 1
            raise Unavailable("away")
        return [self.take(decision) for decision in decisions]

    def take(self, decision):
        name = decision.instance.name
        held = self.records.state["instances"][name]
        if self.refusals:
            return Committed(held, self.refusals.pop(0))
        after = instance_pb2.Instance(name=name, uid=held.uid)
        after.state = instance_pb2.InstanceState.Value(f"INSTANCE_STATE_{STATE_AFTER[decision.action]}")
        if decision.explanation is None:
            after.explanation.CopyFrom(decision.instance.explanation)
        else:
            after.explanation.CopyFrom(explanation_to_proto(decision.explanation))
        if decision.placement:
            after.worker = decision.placement.worker
        if decision.action is Action.BIND:
            after.placement.CopyFrom(placement_to_proto(decision.placement))
        return Committed(self.records.put("instances", after), None)

    @property
    def decisions(self):
        return [decision for call in self.calls for decision in call]

    async def until(self, condition):
        async with asyncio.timeout(20):
            while not condition(self):
                await asyncio.sleep(0.005)


@pytest.fixture
def desk(records):
    return Desk(records)


@pytest.fixture
def running(records, desk):
    @asynccontextmanager
    async def running(backoff=None, seed=1):
        backoff = backoff or BackoffPolicy(first_s=0.02, cap_s=0.05, floor_s=0.01)
        loop = Loop(
            changes=records,
            mirror=Mirror(),
            commit=desk,
            retries=Retries(backoff, clock=SystemClock(), random=Random(1)),
            policy=ScoringPolicy(),
            predict=lambda snapshot, request, placement: None,
            explain_workers=5,
            random=Random(seed),
        )
        task = asyncio.create_task(loop.run())
        try:
            yield desk
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    return running


async def settled(desk, calls):
    """Checks that nothing more is said, for long enough that several waits would have ended."""
    await asyncio.sleep(0.3)
    assert len(desk.calls) == calls


async def test_what_waits_at_the_start_is_placed(records, running):
    records.worker()
    records.model()
    records.copy()
    records.instance()
    async with running() as desk:
        await desk.until(lambda d: d.calls)
        await settled(desk, 1)
    assert desk.decisions == [(Action.BIND, "models/m/instances/0", "workers/w")]


async def test_without_the_artifact_it_is_nominated_and_bound_once_fetched(records, running):
    records.worker()
    records.model()
    async with running() as desk:
        instance = records.instance()
        await desk.until(lambda d: d.calls)
        assert desk.decisions[0][0] is Action.NOMINATE
        records.copy()
        records.instance(state="FETCHED", worker="workers/w", uid=instance.uid)
        await desk.until(lambda d: len(d.calls) == 2)
    assert desk.decisions[1] == (Action.BIND, instance.name, "workers/w")


async def test_all_that_waits_is_placed_in_one_call_without_overcommitting(records, running):
    for name in ("workers/a", "workers/b"):
        records.worker(name, ram=3 * GIB)
        records.copy(name)
    records.model()
    for number in range(3):
        records.instance(number)
    async with running() as desk:
        await desk.until(lambda d: d.calls)
    first = desk.calls[0]
    assert sorted(worker or "" for _, _, worker in first) == ["", "workers/a", "workers/b"]
    assert [action for action, _, worker in first if not worker] == [Action.RECORD]


async def test_an_explanation_is_recorded_once_and_placed_when_there_is_room(records, running):
    records.worker(ram=GIB)
    records.model()
    records.copy()
    records.instance()
    async with running() as desk:
        await desk.until(lambda d: d.calls)
        for noise in range(5):
            records.worker(ram=GIB, foreign_bytes=noise * 4096)
            await asyncio.sleep(0.02)
        await settled(desk, 1)
        records.worker(ram=8 * GIB)
        await desk.until(lambda d: len(d.calls) == 2)
    assert [action for action, _, _ in desk.decisions] == [Action.RECORD, Action.BIND]


async def test_a_refused_one_is_tried_again_though_nothing_changes(records, running):
    records.worker()
    records.model()
    records.copy()
    records.instance()
    async with running() as desk:
        desk.refusals = [ResourceExhausted("full", reason=ErrorReason.INSUFFICIENT_MEMORY), Aborted("stale")]
        await desk.until(lambda d: len(d.calls) == 3)
        await settled(desk, 3)
    assert {action for action, _, _ in desk.decisions} == {Action.BIND}


async def test_one_that_another_scheduler_placed_is_left_to_it(records, running):
    records.worker()
    records.model()
    instance = records.instance()
    async with running() as desk:

        def taken(decision):
            after = records.instance(state="FETCHING", worker="workers/w", uid=instance.uid)
            return Committed(after, Aborted("changed"))

        desk.take = taken
        await desk.until(lambda d: d.calls)
        await settled(desk, 1)


async def test_a_registry_that_is_away_is_asked_again(records, running):
    records.worker()
    records.model()
    records.copy()
    records.instance()
    async with running() as desk:
        desk.outages = 3
        await desk.until(lambda d: len(d.calls) == 4)
        await settled(desk, 4)


async def test_an_unresolved_model_waits_without_a_word(records, running):
    records.worker()
    records.model(artifact="")
    records.instance()
    async with running() as desk:
        await settled(desk, 0)
        records.model()
        await desk.until(lambda d: d.calls)


async def test_many_go_out_in_calls_of_a_bounded_size(records, running):
    records.worker(ram=4000 * GIB)
    records.model()
    records.copy()
    for number in range(230):
        records.instance(number)
    async with running() as desk:
        await desk.until(lambda d: len(d.decisions) >= 230)
        await settled(desk, len(desk.calls))
    assert [len(call) for call in desk.calls] == [100, 100, 30]
    assert len({name for _, name, _ in desk.decisions}) == 230


async def test_an_instance_that_goes_in_circles_pauses_between_rounds(records, running):
    """Nominated, fetched at once, refused: again and again, because the registry knows more than the scheduler."""
    records.worker()
    records.model()
    records.copy()
    records.instance(state="FETCHED", worker="workers/w")
    async with running(BackoffPolicy(first_s=0.1, cap_s=0.1, floor_s=0.1)) as desk:

        def refuse(decision):
            back = records.instance(state="FETCHED", worker="workers/w", uid=decision.instance.uid)
            return Committed(back, ResourceExhausted("full"))

        desk.take = refuse
        begun = asyncio.get_running_loop().time()
        await asyncio.sleep(0.5)
        assert 1 < len(desk.calls) <= (asyncio.get_running_loop().time() - begun) / 0.1 + 1


async def test_what_was_fetched_keeps_the_explanation_of_its_nomination(records, running):
    """Only the worker that it was fetched for is looked at, however good another has become."""
    records.worker()
    records.worker("workers/better", ram=512 * GIB)
    records.model()
    records.copy()
    why = placement_pb2.Explanation(verdict=placement_pb2.VERDICT_PLACED, summary="as it was nominated")
    fetched = records.instance(state="FETCHED", worker="workers/w", explanation=why)
    async with running() as desk:
        await desk.until(lambda d: d.calls)
        await settled(desk, 1)
    assert desk.decisions == [(Action.BIND, fetched.name, "workers/w")]
    assert records.state["instances"][fetched.name].explanation == why


async def test_what_was_fetched_for_a_worker_that_is_no_longer_wanted_goes_elsewhere(records, running):
    records.worker()
    records.worker("workers/wanted")
    records.model(placement={"workers": ["workers/wanted"]})
    records.copy()
    fetched = records.instance(state="FETCHED", worker="workers/w")
    async with running() as desk:
        await desk.until(lambda d: d.calls)
    assert desk.decisions[0] == (Action.RECORD, fetched.name, None)


async def test_two_schedulers_seldom_begin_with_the_same_of_many(records, running):
    records.worker(ram=2000 * GIB)
    records.model()
    records.copy()
    for number in range(400):
        records.instance(number)
    firsts = []
    for seed in (1, 2):
        async with running(seed=seed) as desk:
            desk.outages = 1
            calls = len(desk.calls)
            await desk.until(lambda d, calls=calls: len(d.calls) > calls)
            firsts.append({name for _, name, _ in desk.calls[calls]})
    assert [len(first) for first in firsts] == [100, 100]
    assert len(firsts[0] & firsts[1]) < 50
