"""How many instances a model should have."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage_common.core.states import DesiredState, InstanceState
from moorage_registry.core.records import Instance, Model
from moorage_registry.core.replicas import plan_replicas

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def model(replicas=1, desired=DesiredState.RUNNING, *, deleted=False):
    return Model(
        uid="m",
        created_at=NOW,
        updated_at=NOW,
        id="m",
        source="hf:a/b",
        replicas=replicas,
        desired_state=desired,
        deleted_at=NOW if deleted else None,
    )


def instance(number, state=InstanceState.RUNNING, *, retiring=False, **fields):
    return Instance(
        uid=f"uid-{number:03}",
        created_at=NOW,
        updated_at=NOW,
        model_id="m",
        id=f"i{number}",
        state=state,
        state_at=NOW,
        retiring=retiring,
        **fields,
    )


instances = st.lists(st.sampled_from(InstanceState), max_size=8).map(
    lambda states: [instance(number, state) for number, state in enumerate(states)]
)


@given(instances, st.integers(0, 8))
def test_a_running_model_ends_with_exactly_its_replicas(found, replicas):
    plan = plan_replicas(model(replicas), found)
    assert len(plan.start) + plan.create == replicas
    assert len(plan.start) + len(plan.retire) == len(found)
    assert not plan.stop


@given(instances, st.integers(0, 8))
def test_a_stopped_model_makes_none_and_keeps_no_more_than_its_replicas(found, replicas):
    plan = plan_replicas(model(replicas, DesiredState.STOPPED), found)
    assert plan.create == 0
    assert not plan.start
    assert len(plan.stop) == min(replicas, len(found))
    assert len(plan.stop) + len(plan.retire) == len(found)


@given(instances)
def test_a_deleted_model_retires_everything(found):
    plan = plan_replicas(model(3, deleted=True), found)
    assert (plan.create, plan.start, plan.stop) == (0, (), ())
    assert len(plan.retire) == len(found)


def test_surplus_is_taken_from_those_that_serve_nothing():
    found = [
        instance(1, InstanceState.RUNNING),
        instance(2, InstanceState.PENDING),
        instance(3, InstanceState.ERROR),
    ]
    plan = plan_replicas(model(1), found)
    assert [i.id for i in plan.start] == ["i1"]
    assert {i.id for i in plan.retire} == {"i2", "i3"}


def test_retiring_instances_count_for_nothing():
    plan = plan_replicas(model(1), [instance(1, InstanceState.STOPPING, retiring=True)])
    assert plan.create == 1
    assert not plan.retire


@pytest.mark.parametrize("state", list(InstanceState))
def test_the_oldest_of_equals_stays(state):
    older, younger = instance(1, state), replace(instance(2, state), created_at=NOW.replace(year=2027))
    plan = plan_replicas(model(1), [younger, older])
    assert plan.start == (older,)


def placed(number, state=InstanceState.RUNNING, *, workers=("w",), layers=(10, 10), score=1.0, minute=0):
    """An instance on workers, with so many of so many layers on GPUs."""
    made = instance(
        number,
        state,
        worker_id=workers[0],
        subordinates=list(workers[1:]),
        placement={"gpu_layers": layers[0], "total_layers": layers[1], "score": score},
    )
    return replace(made, created_at=NOW.replace(minute=minute))


def goes_first(found, away=()):
    """The order in which instances go, as replicas are taken away one by one."""
    order, left = [], list(found)
    while left:
        [gone] = plan_replicas(model(len(left) - 1), left, away=away).retire
        order.append(gone.id)
        left.remove(gone)
    return order


def test_the_order_of_scale_down():
    """Not ready workers, then not running, then least on GPUs, then placed worst, then youngest."""
    found = [
        placed(1, minute=0),
        placed(2, minute=5),
        placed(3, score=0.5),
        placed(4, layers=(9, 10), score=9.0),
        placed(5, layers=(19, 20), score=9.0),
        placed(6, layers=(0, 0)),
        instance(7, InstanceState.PENDING),
        placed(8, InstanceState.ERROR),
        placed(9, InstanceState.STARTING),
        placed(10, workers=("away",), score=99.0),
    ]
    order = ["i10", "i7", "i8", "i9", "i6", "i4", "i5", "i3", "i2", "i1"]
    assert goes_first(found, away={"away"}) == order
    assert goes_first(found[::-1], away={"away"}) == order


def test_one_member_that_is_not_ready_is_enough():
    found = [placed(1, workers=("w", "away"), score=9.0), placed(2)]
    assert goes_first(found, away={"away"}) == ["i1", "i2"]
    assert goes_first(found) == ["i2", "i1"]


def test_of_those_that_are_evicted_the_best_ones_serve_until_others_do():
    found = [replace(placed(n, score=n), evicting=True) for n in range(3)]
    plan = plan_replicas(model(2), found)
    assert plan.create == 2
    assert [i.id for i in plan.retire] == ["i0"]


@given(instances, st.integers(0, 8), st.randoms())
def test_what_is_taken_away_does_not_depend_on_the_order_in_which_instances_are_found(
    found, replicas, random
):
    shuffled = random.sample(found, len(found))
    assert plan_replicas(model(replicas), found) == plan_replicas(model(replicas), shuffled)
