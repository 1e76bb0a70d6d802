"""What the parts of an instance over several workers come to."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage_common.core.errors import FailedPrecondition, NotFound
from moorage_common.core.states import InstanceState as S
from moorage_registry.core.members import members_of, part_gone, parts_restarted, parts_unreachable
from moorage_registry.core.records import Instance
from moorage_registry.core.reports import InstanceReport, apply_part_report
from moorage_registry.core.transitions import HOLDS_CLAIM
from moorage_registry.core.transitions import InstanceEvent as E

NOW = datetime(2026, 1, 1, tzinfo=UTC)
URL = "http://a:1/v1"
EXITED = {"code": 13, "message": "the engine exited"}


def instance(state=S.STARTING, workers=("a", "b", "c"), **fields):
    return Instance(
        uid="u",
        created_at=NOW,
        updated_at=NOW,
        model_id="m",
        id="i",
        state=state,
        state_at=NOW,
        worker_id=workers[0],
        subordinates=list(workers[1:]),
        placement={
            "worker": f"workers/{workers[0]}",
            "subordinates": [f"workers/{worker}" for worker in workers[1:]],
            "claims": [
                {"worker": f"workers/{worker}", "pool": "ram", "size_bytes": "1"} for worker in workers
            ],
        },
        **fields,
    )


def report(worker, event, **fields):
    return InstanceReport(**{"uid": "u", "worker_id": worker, "event": event, **fields})


class Gang:
    """An instance with its members, as reports come in."""

    def __init__(self, **fields):
        self.instance = instance(**fields)
        self.members = tuple(members_of(self.instance, exclusive=True))

    def hears(self, worker, event, **fields):
        moved = apply_part_report(self.instance, self.members, report(worker, event, **fields), now=NOW)
        return self._take(moved)

    def loses_sight_of(self, *workers):
        return self._take(parts_unreachable(self.instance, self.members, set(workers), now=NOW))

    def loses(self, worker):
        return self._take(part_gone(self.instance, self.members, worker, now=NOW))

    def _take(self, moved):
        self.instance, self.members = moved.move.after, moved.members
        return self.instance


def test_the_first_member_is_the_primary_and_the_others_follow_in_their_order():
    members = members_of(instance(), exclusive=True)
    assert [(m.worker_id, m.rank, m.exclusive, m.state) for m in members] == [
        ("a", 0, True, S.STARTING),
        ("b", 1, True, S.STARTING),
        ("c", 2, True, S.STARTING),
    ]
    assert members_of(instance(workers=("a",)), exclusive=False) == []


def test_it_runs_when_its_primary_does_and_answers_where_that_one_does():
    gang = Gang()
    assert gang.hears("b", E.REPORT_RUNNING, endpoint="rpc://b:1").state is S.STARTING
    assert gang.hears("a", E.REPORT_RUNNING, endpoint=URL, restart_count=2).state is S.RUNNING
    assert (gang.instance.endpoint, gang.instance.restart_count) == (URL, 2)
    assert [m.endpoint for m in gang.members] == [URL, "rpc://b:1", ""]


def test_what_fails_on_a_subordinate_is_the_instances_failure_and_says_where():
    gang = Gang()
    gang.hears("a", E.REPORT_RUNNING, endpoint=URL)
    failed = gang.hears("c", E.REPORT_ERROR, error=EXITED, restart_count=7)
    assert (failed.state, failed.endpoint) == (S.ERROR, "")
    assert failed.error == {"code": 13, "message": "workers/c: the engine exited"}
    assert failed.restart_count == 0


def test_a_failure_that_is_over_leaves_it_where_its_primary_is():
    gang = Gang()
    gang.hears("a", E.REPORT_RUNNING, endpoint=URL)
    gang.hears("c", E.REPORT_ERROR, error=EXITED)
    again = gang.hears("c", E.REPORT_RUNNING)
    assert (again.state, again.endpoint, again.error) == (S.RUNNING, URL, None)


def test_of_two_failures_the_primarys_is_told():
    gang = Gang()
    gang.hears("b", E.REPORT_ERROR, error=EXITED)
    assert gang.hears("a", E.REPORT_ERROR, error={"code": 4, "message": "late"}).error["message"] == "late"


def test_it_has_stopped_once_every_member_says_so():
    gang = Gang(state=S.STOPPING)
    assert gang.hears("b", E.REPORT_STOPPED).state is S.STOPPING
    assert gang.hears("b", E.REPORT_STOPPED).state is S.STOPPING
    assert gang.hears("a", E.REPORT_STOPPED).state is S.STOPPING
    assert [m.state for m in gang.members] == [S.STOPPED, S.STOPPED, S.STARTING]
    assert [m.stopped_at for m in gang.members] == [NOW, NOW, None]
    assert gang.hears("c", E.REPORT_STOPPED).state is S.STOPPED
    assert gang.instance.workers == ()


def test_when_one_has_stopped_the_others_stop_as_well():
    gang = Gang()
    gang.hears("a", E.REPORT_RUNNING, endpoint=URL)
    stopping = gang.hears("b", E.REPORT_STOPPED)
    assert (stopping.state, stopping.endpoint) == (S.STOPPING, "")
    gang.hears("a", E.REPORT_STOPPED)
    assert gang.hears("c", E.REPORT_STOPPED).state is S.STOPPED


@pytest.mark.parametrize("event", [E.REPORT_STARTING, E.REPORT_RUNNING, E.REPORT_ERROR])
def test_who_has_stopped_does_not_come_back_and_who_has_not_heard_of_the_stop_changes_nothing(event):
    gang = Gang(state=S.STOPPING)
    gang.hears("b", E.REPORT_STOPPED)
    before = gang.instance, gang.members
    gang.hears("b", event)
    gang.hears("c", event)
    assert (gang.instance, gang.members) == before


def test_one_member_out_of_reach_is_the_instance_out_of_reach():
    gang = Gang()
    gang.hears("a", E.REPORT_RUNNING, endpoint=URL)
    lost = gang.loses_sight_of("c")
    assert (lost.state, lost.endpoint) == (S.UNREACHABLE, "")
    assert gang.hears("a", E.REPORT_RUNNING, endpoint=URL).state is S.UNREACHABLE
    back = gang.hears("c", E.REPORT_STARTING)
    assert (back.state, back.endpoint) == (S.RUNNING, URL)


def test_each_member_that_is_lost_must_be_heard_of_again():
    gang = Gang()
    gang.loses_sight_of("a")
    gang.loses_sight_of("c")
    assert gang.hears("a", E.REPORT_RUNNING, endpoint=URL).state is S.UNREACHABLE
    assert gang.hears("c", E.REPORT_RUNNING).state is S.RUNNING


def test_a_member_that_has_stopped_is_not_waited_for_when_its_lease_lapses():
    gang = Gang(state=S.STOPPING)
    gang.hears("b", E.REPORT_STOPPED)
    gang.loses_sight_of("b")
    gang.hears("a", E.REPORT_STOPPED)
    assert gang.hears("c", E.REPORT_STOPPED).state is S.STOPPED


def test_a_restart_is_one_of_all_parts_and_waits_for_those_out_of_reach():
    gang = Gang()
    gang.hears("a", E.REPORT_RUNNING, endpoint=URL)
    gang.hears("b", E.REPORT_ERROR, error=EXITED)
    gang.loses_sight_of("c")
    again = parts_restarted(gang.members)
    assert [(m.state, m.endpoint, m.error) for m in again] == [
        (S.STARTING, "", None),
        (S.STARTING, "", None),
        (S.UNREACHABLE, "", None),
    ]


def test_when_a_workers_record_goes_the_others_stop_and_the_next_one_stands_for_the_instance():
    gang = Gang(state=S.RUNNING)
    left = gang.loses("a")
    assert (left.state, left.worker_id, left.subordinates) == (S.STOPPING, "b", ["c"])
    assert left.placement["worker"] == "workers/b"
    assert left.placement["subordinates"] == ["workers/c"]
    assert [claim["worker"] for claim in left.placement["claims"]] == ["workers/b", "workers/c"]
    gang.hears("c", E.REPORT_STOPPED)
    assert gang.hears("b", E.REPORT_STOPPED).state is S.STOPPED


def test_a_subordinate_whose_record_goes_leaves_the_primary_where_it_is():
    left = Gang().loses("b")
    assert (left.state, left.worker_id, left.subordinates) == (S.STOPPING, "a", ["c"])


def test_when_the_last_one_that_was_waited_for_goes_nothing_is_left_to_wait_for():
    gang = Gang(state=S.STOPPING)
    gang.hears("a", E.REPORT_STOPPED)
    gang.hears("c", E.REPORT_STOPPED)
    assert gang.loses("b").state is S.STOPPED


def test_a_report_of_an_earlier_generation_or_from_elsewhere_stops_no_part():
    gang = Gang(state=S.STOPPING, generation=2)
    gang.hears("a", E.REPORT_STOPPED, generation=1)
    gang.hears("z", E.REPORT_STOPPED, generation=2)
    assert {m.state for m in gang.members} == {S.STARTING}
    with pytest.raises(FailedPrecondition, match="bound to workers/a, workers/b, workers/c"):
        gang.hears("z", E.REPORT_RUNNING)
    with pytest.raises(NotFound):
        gang.hears("a", E.REPORT_RUNNING, uid="older")


REPORTS = (E.REPORT_STARTING, E.REPORT_RUNNING, E.REPORT_ERROR, E.REPORT_STOPPED)
workers = st.sampled_from("abc")
deeds = st.one_of(
    st.tuples(st.just("hears"), workers, st.sampled_from(REPORTS)),
    st.tuples(st.just("loses_sight_of"), workers),
)


@given(st.sampled_from([S.STARTING, S.STOPPING]), st.lists(deeds, max_size=30))
def test_whatever_comes_in_it_holds_its_claims_until_the_last_part_has_stopped(state, heard):
    gang = Gang(state=state)
    for deed, *details in heard:
        if deed == "loses_sight_of" and gang.instance.state is S.STOPPING:
            # Nobody asks where it stands: it is to be gone.
            continue
        getattr(gang, deed)(*details)
        stopped = [m.state is S.STOPPED for m in gang.members]
        assert (gang.instance.state in HOLDS_CLAIM) is not all(stopped)
        assert not any(stopped) or gang.instance.state in {S.STOPPING, S.STOPPED, S.PENDING}
        if all(stopped):
            return
        lost = any(m.state is S.UNREACHABLE for m in gang.members)
        if gang.instance.state is not S.STOPPING:
            assert (gang.instance.state is S.UNREACHABLE) is lost
        assert bool(gang.instance.endpoint) <= (gang.instance.state is S.RUNNING)


@given(st.lists(deeds, max_size=20))
def test_a_report_repeated_changes_nothing_more(heard):
    gang = Gang()
    for deed, *details in heard:
        if deed == "loses_sight_of" or gang.instance.state not in HOLDS_CLAIM:
            continue
        once = gang.hears(*details), gang.members
        if gang.instance.state in HOLDS_CLAIM:
            assert (gang.hears(*details), gang.members) == once
