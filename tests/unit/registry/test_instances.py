"""What an instance's record keeps and forgets as things happen to it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from moorage_common.core.errors import ErrorReason, FailedPrecondition
from moorage_common.core.states import InstanceState as S
from moorage_registry.core.instances import apply, restarted
from moorage_registry.core.records import Instance
from moorage_registry.core.transitions import HOLDS_CLAIM, NOMINATED, TRANSITIONS
from moorage_registry.core.transitions import InstanceEvent as E

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(minutes=1)


def instance(state, **fields):
    placed = state in HOLDS_CLAIM | NOMINATED
    return Instance(
        uid="u",
        created_at=NOW,
        updated_at=NOW,
        model_id="m",
        id="i",
        state=state,
        state_at=NOW,
        worker_id="w" if placed else None,
        placement={"worker": "workers/w"} if state in HOLDS_CLAIM else None,
        endpoint="http://w/v1" if state is S.RUNNING else "",
        restart_count=3,
        explanation={"verdict": "VERDICT_PLACED"},
        explanation_message=b"why",
        error={"code": 13},
        **fields,
    )


@pytest.mark.parametrize("state", list(S))
def test_every_possible_move_leaves_a_worker_exactly_where_the_state_has_one(state):
    for event in TRANSITIONS[state]:
        given = {"worker_id": "w"} if event in {E.NOMINATE, E.BIND} else {}
        after = apply(instance(state), event, now=LATER, **given).after
        assert (after.worker_id is None) == (after.state in {S.PENDING, S.STOPPED})


def test_a_change_of_state_is_timed_and_a_repetition_is_not():
    assert apply(instance(S.STARTING), E.REPORT_RUNNING, now=LATER).after.state_at == LATER
    assert apply(instance(S.RUNNING), E.REPORT_RUNNING, now=LATER).after.state_at == NOW


def test_what_is_placed_anew_forgets_where_it_ran_but_not_why():
    after = apply(instance(S.RUNNING), E.REPORT_STOPPED, now=LATER).after
    assert (after.worker_id, after.placement, after.endpoint, after.restart_count) == (None, None, "", 0)
    assert after.explanation
    assert after.error


def test_what_is_placed_anew_forgets_who_took_part():
    spread = replace(instance(S.RUNNING), subordinates=["x", "y"], artifact_on_all=True)
    after = apply(spread, E.REPORT_STOPPED, now=LATER).after
    assert (after.workers, after.loading_workers, after.artifact_on_all) == ((), (), False)


def test_who_loads_the_artifact():
    spread = replace(instance(S.RUNNING), subordinates=["x", "y"])
    assert spread.workers == ("w", "x", "y")
    assert spread.loading_workers == ("w",)
    assert replace(spread, artifact_on_all=True).loading_workers == ("w", "x", "y")


def test_what_is_stopped_forgets_everything():
    after = apply(instance(S.STOPPING), E.REPORT_STOPPED, now=LATER).after
    assert (after.worker_id, after.explanation, after.explanation_message, after.error) == (None,) * 4


@pytest.mark.parametrize("event", [E.LEASE_LAPSED, E.STOP])
def test_nobody_is_sent_to_an_engine_that_is_away_or_going(event):
    assert apply(instance(S.RUNNING), event, now=LATER).after.endpoint == ""


def test_claims_are_freed_on_the_way_out_of_the_states_that_hold_them():
    assert apply(instance(S.STOPPING), E.REPORT_STOPPED, now=LATER).frees_claims
    assert not apply(instance(S.RUNNING), E.STOP, now=LATER).frees_claims
    assert not apply(instance(S.FETCHED), E.STOP, now=LATER).frees_claims


def test_a_nomination_is_dropped_when_its_worker_is_forgotten():
    assert apply(instance(S.FETCHING), E.REFUSE, now=LATER).drops_nomination
    assert not apply(instance(S.FETCHED), E.BIND, now=LATER, worker_id="w").drops_nomination


def test_a_retiring_instance_is_removed_once_it_has_stopped():
    leaving = replace(instance(S.STOPPING), retiring=True)
    assert apply(leaving, E.REPORT_STOPPED, now=LATER).removes
    assert not apply(leaving, E.STOP, now=LATER).removes
    assert not apply(instance(S.STOPPING), E.REPORT_STOPPED, now=LATER).removes


@pytest.mark.parametrize("state", sorted(HOLDS_CLAIM - {S.STOPPING}))
def test_a_restart_begins_a_generation_in_the_same_place(state):
    before = instance(state, generation=4)
    move = restarted(before, now=LATER)
    assert not move.frees_claims
    assert move.after.generation == 5
    assert (move.after.worker_id, move.after.placement) == (before.worker_id, before.placement)
    assert (move.after.endpoint, move.after.error, move.after.restart_count) == ("", None, 0)


@pytest.mark.parametrize("state", sorted(NOMINATED))
def test_what_has_no_engine_yet_is_not_changed_by_a_restart(state):
    waiting = instance(state, generation=4)
    assert restarted(waiting, now=LATER).after == waiting


def test_what_waits_for_a_place_is_not_changed_by_a_restart():
    waiting = replace(instance(S.PENDING, generation=4), restart_count=0)
    assert restarted(waiting, now=LATER).after == waiting


def test_what_is_not_in_the_table_does_not_happen():
    with pytest.raises(FailedPrecondition) as caught:
        apply(instance(S.STOPPED), E.BIND, now=LATER)
    assert caught.value.reason is ErrorReason.TRANSITION_NOT_ALLOWED
