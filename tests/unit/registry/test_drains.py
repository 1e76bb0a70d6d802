"""What is done about an instance of a drained worker, and how many instances a model gets meanwhile."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from moorage_common.core.errors import ErrorReason
from moorage_common.core.states import DesiredState, InstanceState, WorkerState
from moorage_registry.core.drains import DrainStep, draining
from moorage_registry.core.records import Instance, Model, Worker
from moorage_registry.core.replicas import plan_replicas

NOW = datetime(2026, 1, 1, tzinfo=UTC)
S = InstanceState
WORKER = Worker(
    uid="w", created_at=NOW, updated_at=NOW, id="gpu-01", node_id="n", state=WorkerState.READY, facts={}
)


def instance(uid, state=S.RUNNING, **fields):
    return Instance(
        uid=uid, created_at=NOW, updated_at=NOW, model_id="m", id=uid, state=state, state_at=NOW, **fields
    )


def model(replicas=1, **fields):
    values = {"desired_state": DesiredState.RUNNING, **fields}
    return Model(
        uid="m", created_at=NOW, updated_at=NOW, id="m", source="hf:x/y", replicas=replicas, **values
    )


OLD = instance("old", evicting=True)


def test_one_that_serves_moves_while_its_replacement_comes():
    new = instance("new", S.STARTING)
    found = draining(WORKER, OLD, [OLD, new])
    assert (found.step, found.replacements, found.obstacle) == (DrainStep.MOVING, (new,), None)


def test_one_that_was_told_to_stop_is_stopping():
    assert draining(WORKER, replace(OLD, state=S.STOPPING), []).step is DrainStep.STOPPING


def test_a_replacement_without_a_place_blocks():
    new = instance("new", S.PENDING, explanation={"summary": "no GPU is free"})
    found = draining(WORKER, OLD, [OLD, new])
    assert found.step is DrainStep.BLOCKED
    assert found.obstacle.reason is ErrorReason.NO_PLACEMENT
    assert "no GPU is free" in found.obstacle.message


def test_a_replacement_that_was_not_looked_at_yet_blocks_nothing():
    assert draining(WORKER, OLD, [instance("new", S.PENDING)]).step is DrainStep.MOVING


@pytest.mark.parametrize("state", [S.ERROR, S.FETCHING])
def test_a_replacement_that_fails_blocks_with_its_error(state):
    error = {"code": 9, "message": "no such file"}
    found = draining(WORKER, OLD, [instance("new", state, error=error)])
    assert (found.step, found.obstacle) == (DrainStep.BLOCKED, error)


@pytest.mark.parametrize("state", [WorkerState.UNREACHABLE, WorkerState.NOT_READY])
def test_a_worker_that_does_not_answer_blocks_everything(state):
    found = draining(replace(WORKER, state=state), replace(OLD, state=S.STOPPING), [])
    assert found.step is DrainStep.BLOCKED
    assert found.obstacle.reason is ErrorReason.WORKER_NOT_READY
    assert "force" in found.obstacle.remedy


def test_what_stops_on_several_workers_waits_for_all_of_them():
    peers = [
        replace(WORKER, id="gpu-02"),
        replace(WORKER, id="gpu-03", state=WorkerState.UNREACHABLE),
    ]
    found = draining(WORKER, replace(OLD, state=S.STOPPING), [], peers)
    assert found.step is DrainStep.BLOCKED
    assert found.obstacle.resource == "workers/gpu-03"
    assert draining(WORKER, replace(OLD, state=S.STOPPING), [], peers[:1]).step is DrainStep.STOPPING
    # While it serves, others that are away are no reason why this one would not be emptied.
    assert draining(WORKER, OLD, [OLD], peers).step is DrainStep.MOVING


def test_a_replacement_is_made_and_the_old_one_kept_until_it_serves():
    plan = plan_replicas(model(), [OLD])
    assert (plan.create, plan.retire) == (1, ())
    assert plan_replicas(model(), [OLD, instance("new", S.STARTING)]).retire == ()
    assert plan_replicas(model(), [OLD, instance("new")]).retire == (OLD,)


@pytest.mark.parametrize("state", [S.STARTING, S.ERROR, S.UNREACHABLE])
def test_what_does_not_serve_goes_at_once(state):
    old = replace(OLD, state=state)
    plan = plan_replicas(model(), [old])
    assert (plan.create, plan.retire) == (1, (old,))


def test_as_many_as_serve_elsewhere_go():
    old = [instance(f"old-{n}", evicting=True) for n in range(3)]
    new = [instance("new-0"), instance("new-1", S.STARTING), instance("new-2", S.PENDING)]
    plan = plan_replicas(model(3), old + new)
    assert (plan.create, len(plan.retire)) == (0, 1)


def test_a_smaller_model_needs_fewer_of_the_old_ones():
    old = [instance(f"old-{n}", evicting=True) for n in range(3)]
    plan = plan_replicas(model(1), old)
    assert (plan.create, len(plan.retire)) == (1, 2)


def test_a_stopped_model_stops_what_is_evicted_like_the_rest():
    plan = plan_replicas(model(desired_state=DesiredState.STOPPED), [OLD])
    assert (plan.stop, plan.retire, plan.create) == ((OLD,), (), 0)


def test_called_off_the_replacements_are_too_many():
    kept, new = replace(OLD, evicting=False), instance("new", S.PENDING)
    assert plan_replicas(model(), [kept, new]).retire == (new,)
