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


def instance(number, state=InstanceState.RUNNING, *, retiring=False):
    return Instance(
        uid=f"uid-{number:03}",
        created_at=NOW,
        updated_at=NOW,
        model_id="m",
        id=f"i{number}",
        state=state,
        state_at=NOW,
        retiring=retiring,
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
