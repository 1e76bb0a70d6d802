"""What comes of an agent's reports, on time, late and misdirected."""

from datetime import UTC, datetime

import pytest

from moorage_common.core.errors import ErrorReason, FailedPrecondition, NotFound
from moorage_common.core.states import InstanceState as S
from moorage_registry.core.records import Instance
from moorage_registry.core.reports import EVENT_OF_STATE, InstanceReport, apply_report
from moorage_registry.core.transitions import HOLDS_CLAIM
from moorage_registry.core.transitions import InstanceEvent as E

NOW = datetime(2026, 1, 1, tzinfo=UTC)
EXITED = {"code": 13, "message": "the engine exited"}


def instance(state, **fields):
    return Instance(
        uid="u",
        created_at=NOW,
        updated_at=NOW,
        model_id="m",
        id="i",
        state=state,
        state_at=NOW,
        worker_id="w" if state in HOLDS_CLAIM else None,
        **fields,
    )


def report(event, **fields):
    return InstanceReport(**{"uid": "u", "worker_id": "w", "event": event, **fields})


def test_a_running_engine_has_an_endpoint_and_no_error():
    what = report(E.REPORT_RUNNING, endpoint="http://w/v1", restart_count=2)
    after = apply_report(instance(S.ERROR, error=EXITED), what, now=NOW).after
    assert (after.state, after.endpoint, after.error) == (S.RUNNING, "http://w/v1", None)
    assert after.restart_count == 2


def test_a_failed_engine_has_an_error_and_no_endpoint():
    what = report(E.REPORT_ERROR, endpoint="http://w/v1", error=EXITED, restart_count=1)
    after = apply_report(instance(S.RUNNING, endpoint="http://w/v1"), what, now=NOW).after
    assert (after.state, after.endpoint, after.error) == (S.ERROR, "", EXITED)


def test_an_engine_that_starts_again_still_tells_why_it_failed():
    what = report(E.REPORT_STARTING, restart_count=1)
    after = apply_report(instance(S.ERROR, error=EXITED), what, now=NOW).after
    assert (after.state, after.error, after.restart_count) == (S.STARTING, EXITED, 1)


@pytest.mark.parametrize("event", [E.REPORT_STARTING, E.REPORT_RUNNING, E.REPORT_ERROR])
def test_what_is_reported_of_an_engine_that_is_to_stop_changes_nothing(event):
    stopping = instance(S.STOPPING)
    assert apply_report(stopping, report(event, endpoint="http://w/v1"), now=NOW).after == stopping


@pytest.mark.parametrize("state", list(S))
def test_a_report_of_an_earlier_instance_of_the_name_is_refused(state):
    with pytest.raises(NotFound, match="models/m/instances/i"):
        apply_report(instance(state), report(E.REPORT_STOPPED, uid="earlier"), now=NOW)


@pytest.mark.parametrize("state", sorted(HOLDS_CLAIM))
def test_only_the_worker_that_an_instance_is_bound_to_is_believed(state):
    with pytest.raises(FailedPrecondition) as caught:
        apply_report(instance(state), report(E.REPORT_RUNNING, worker_id="other"), now=NOW)
    assert caught.value.reason is ErrorReason.TRANSITION_NOT_ALLOWED
    assert caught.value.metadata == {"instance": "models/m/instances/i", "worker": "workers/w"}


@pytest.mark.parametrize("state", sorted(HOLDS_CLAIM))
def test_a_late_stop_on_another_worker_frees_nothing_here(state):
    bound = instance(state)
    assert apply_report(bound, report(E.REPORT_STOPPED, worker_id="other"), now=NOW).after == bound


@pytest.mark.parametrize("worker", ["w", "other"])
@pytest.mark.parametrize("event", sorted(EVENT_OF_STATE.values()))
@pytest.mark.parametrize("state", list(S))
def test_what_an_earlier_generation_did_changes_nothing(state, event, worker):
    now = instance(state, generation=2)
    late = report(event, generation=1, worker_id=worker, endpoint="http://old/v1", error=EXITED)
    assert apply_report(now, late, now=NOW).after == now


@pytest.mark.parametrize("event", sorted(EVENT_OF_STATE.values()))
def test_a_generation_that_nobody_made_is_refused(event):
    with pytest.raises(FailedPrecondition) as caught:
        apply_report(instance(S.STARTING, generation=2), report(event, generation=3), now=NOW)
    assert caught.value.reason is ErrorReason.TRANSITION_NOT_ALLOWED
    assert (caught.value.metadata["generation"], caught.value.metadata["reported_generation"]) == ("2", "3")


@pytest.mark.parametrize("generation", [0, 2])
@pytest.mark.parametrize(("event", "becomes"), [(E.REPORT_RUNNING, S.RUNNING), (E.REPORT_STOPPED, S.PENDING)])
def test_the_present_generation_is_believed_and_so_is_an_agent_that_knows_of_none(event, becomes, generation):
    after = apply_report(
        instance(S.STARTING, generation=2), report(event, generation=generation), now=NOW
    ).after
    assert after.state is becomes


def test_an_agent_reports_exactly_the_states_that_it_decides():
    assert set(EVENT_OF_STATE) == {S.STARTING, S.RUNNING, S.ERROR, S.STOPPED}
