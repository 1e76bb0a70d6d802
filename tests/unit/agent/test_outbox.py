"""Which reports are sent, and when."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage_agent.core.outbox import Outbox, Report
from moorage_agent.core.reports import CopyReport, InstanceReport
from moorage_common.core.states import CopyState, InstanceState

STARTING = InstanceReport(
    uid="u", instance="models/m/instances/i", generation=1, state=InstanceState.STARTING
)
RUNNING = replace(STARTING, state=InstanceState.RUNNING, endpoint="http://h:1/v1")
STOPPED = replace(STARTING, state=InstanceState.STOPPED)


def progress(done: int, state: CopyState = CopyState.FETCHING) -> CopyReport:
    return CopyReport(artifact="art", state=state, done_bytes=done)


def test_a_report_is_sent_until_it_is_taken() -> None:
    outbox = Outbox()
    outbox.put([STARTING])
    assert outbox.due(now=0) == [STARTING]
    assert outbox.due(now=0) == []
    outbox.failed(STARTING, now=0)
    assert outbox.due(now=0) == []
    assert outbox.next_due(now=0) == 1
    assert outbox.due(now=1) == [STARTING]
    outbox.taken(STARTING, now=1)
    assert outbox.due(now=2) == []


def test_the_same_of_another_generation_is_news() -> None:
    outbox = Outbox()
    outbox.put([STOPPED])
    assert outbox.due(now=0) == [STOPPED]
    outbox.put([replace(STOPPED, generation=2)])
    outbox.taken(STOPPED, now=0)
    assert outbox.due(now=0) == [replace(STOPPED, generation=2)]


def test_the_latest_wins() -> None:
    outbox = Outbox()
    outbox.put([STARTING])
    assert outbox.due(now=0) == [STARTING]
    outbox.put([RUNNING])
    assert outbox.due(now=0) == []
    outbox.taken(STARTING, now=0)
    assert outbox.due(now=0) == [RUNNING]


def test_what_is_no_longer_of_interest_is_not_sent() -> None:
    outbox = Outbox()
    outbox.put([STARTING])
    outbox.put([])
    assert outbox.due(now=0) == []
    outbox.taken(STARTING, now=0)
    outbox.put([STARTING])
    assert outbox.due(now=0) == [STARTING]


def test_under_a_new_lease_everything_is_told_again() -> None:
    outbox = Outbox()
    outbox.put([RUNNING])
    outbox.due(now=0)
    outbox.taken(RUNNING, now=0)
    outbox.clear_taken()
    assert outbox.due(now=0) == [RUNNING]


@pytest.mark.parametrize(
    ("report", "again_s"),
    [(STOPPED, 3), (progress(1, CopyState.FAILED), 3), (RUNNING, 300), (progress(9, CopyState.READY), 300)],
)
def test_what_is_of_interest_is_told_again(report: Report, again_s: float) -> None:
    outbox = Outbox()
    outbox.put([report])
    outbox.due(now=0)
    outbox.taken(report, now=0)
    assert outbox.next_due(now=1) == again_s
    assert outbox.due(now=again_s - 0.1) == []
    assert outbox.due(now=again_s) == [report]


def test_progress_leaves_room_for_what_instances_wait_for() -> None:
    outbox = Outbox()
    outbox.put([progress(0, CopyState.ABSENT)])
    outbox.due(now=0)
    outbox.taken(progress(0, CopyState.ABSENT), now=0)
    outbox.put([progress(2)])
    assert outbox.due(now=0.5) == []
    outbox.put([progress(10, CopyState.READY)])
    assert outbox.due(now=0.5) == [progress(10, CopyState.READY)]


@given(st.lists(st.tuples(st.floats(0, 0.4), st.sampled_from(CopyState), st.booleans()), max_size=60))
def test_never_more_than_two_writes_a_second_per_copy(
    steps: list[tuple[float, CopyState, bool]],
) -> None:
    outbox, now, sent = Outbox(), 0.0, []
    for number, (pause, state, takes) in enumerate(steps):
        now += pause
        outbox.put([progress(number, state)])
        for report in outbox.due(now=now):
            sent.append(now)
            (outbox.taken if takes else outbox.failed)(report, now=now)
    assert all(third - first >= 1 - 1e-9 for first, third in zip(sent, sent[2:], strict=False))
