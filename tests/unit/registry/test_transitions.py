"""The life of an instance, state by state and event by event."""

from itertools import product

import pytest

from moorage_common.core.errors import ErrorReason, FailedPrecondition
from moorage_common.core.states import InstanceState as S
from moorage_registry.core.transitions import HOLDS_CLAIM, NOMINATED, TRANSITIONS, next_state
from moorage_registry.core.transitions import InstanceEvent as E


def test_every_state_has_a_row():
    assert set(TRANSITIONS) == set(S)


@pytest.mark.parametrize("state", list(S))
def test_stop_leads_to_stopped_at_once_exactly_where_nothing_is_held(state):
    assert next_state(state, E.STOP) is (S.STOPPING if state in HOLDS_CLAIM else S.STOPPED)


@pytest.mark.parametrize("state", list(S))
def test_a_confirmed_stop_frees_whatever_was_held(state):
    assert next_state(state, E.REPORT_STOPPED) not in HOLDS_CLAIM


@pytest.mark.parametrize("state", sorted(HOLDS_CLAIM))
def test_only_a_confirmed_stop_or_the_end_of_the_worker_frees_a_claim(state):
    frees = {event for event, after in TRANSITIONS[state].items() if after not in HOLDS_CLAIM}
    assert frees == {E.REPORT_STOPPED, E.WORKER_GONE}


def test_only_a_bind_takes_a_claim():
    takes = {
        event
        for state, event in product(set(S) - HOLDS_CLAIM, E)
        if TRANSITIONS[state].get(event) in HOLDS_CLAIM
    }
    assert takes == {E.BIND}


@pytest.mark.parametrize("state", list(S))
def test_a_lost_member_has_the_others_stopped_exactly_where_there_are_others_that_run(state):
    after = TRANSITIONS[state].get(E.MEMBER_LOST)
    assert after is (S.STOPPING if state in HOLDS_CLAIM else None)


@pytest.mark.parametrize("state", sorted(NOMINATED))
def test_a_lapsed_lease_sends_what_holds_nothing_back_to_be_placed(state):
    assert next_state(state, E.LEASE_LAPSED) is S.PENDING


@pytest.mark.parametrize("state", sorted(HOLDS_CLAIM - {S.STOPPING}))
def test_a_lapsed_lease_keeps_claims_because_the_engine_may_still_run(state):
    assert next_state(state, E.LEASE_LAPSED) is S.UNREACHABLE


@pytest.mark.parametrize("event", [E.REPORT_STARTING, E.REPORT_RUNNING, E.REPORT_ERROR])
@pytest.mark.parametrize("state", sorted(set(S) - HOLDS_CLAIM))
def test_an_engine_that_holds_no_claim_is_not_believed(state, event):
    with pytest.raises(FailedPrecondition) as caught:
        next_state(state, event)
    assert caught.value.reason is ErrorReason.TRANSITION_NOT_ALLOWED
    assert caught.value.metadata == {"state": state.value, "event": event.value}


@pytest.mark.parametrize("state", sorted(set(S) - {S.STOPPING, S.STOPPED}))
def test_a_restart_leads_back_to_starting_where_an_engine_is_in_reach_and_nowhere_else(state):
    in_reach = state in {S.STARTING, S.RUNNING, S.ERROR}
    assert next_state(state, E.RESTART) is (S.STARTING if in_reach else state)


@pytest.mark.parametrize("state", [S.STOPPING, S.STOPPED])
def test_what_stops_is_not_restarted_and_it_is_said_what_to_do(state):
    with pytest.raises(FailedPrecondition) as caught:
        next_state(state, E.RESTART)
    assert caught.value.reason is ErrorReason.TRANSITION_NOT_ALLOWED
    assert "Start its model" in caught.value.remedy


@pytest.mark.parametrize("event", [E.START, E.STOP, E.REPORT_STOPPED])
@pytest.mark.parametrize("state", list(S))
def test_start_stop_and_confirmed_stops_are_always_possible_and_idempotent(state, event):
    once = next_state(state, event)
    if event is E.STOP or (event is E.START and once is not S.STOPPING):
        assert next_state(once, event) is once
