from dataclasses import dataclass
from random import Random

import pytest

from moorage_common.core.backoff import BackoffPolicy
from moorage_scheduler.retries import Retries


@dataclass
class HandClock:
    time: float = 100.0

    def monotonic(self):
        return self.time


@pytest.fixture
def clock():
    return HandClock()


@pytest.fixture
def retries(clock):
    policy = BackoffPolicy(first_s=1.0, cap_s=8.0, floor_s=0.5)
    return Retries(policy, clock=clock, random=Random(1))


def test_who_was_never_refused_may_be_tried(retries):
    assert retries.may_try("a")
    assert retries.due() == set()
    assert retries.next_due_in() is None


def test_a_refused_one_waits_and_then_is_due(retries, clock):
    delay = retries.refused("a")
    assert 0.5 <= delay <= 1.0
    assert not retries.may_try("a")
    assert retries.next_due_in() == pytest.approx(delay)
    clock.time += delay
    assert retries.may_try("a")
    assert retries.due() == {"a"}
    assert retries.next_due_in() == 0.0


def test_refusals_in_a_row_wait_longer_but_never_for_ever(retries, clock):
    delays = [retries.refused("a") for _ in range(200)]
    assert max(delays) > 2.0
    assert max(delays) <= 8.0


def test_a_nomination_ends_the_wait_and_keeps_the_count(clock):
    flat = BackoffPolicy(first_s=1.0, factor=2.0, cap_s=64.0, floor_s=1.0)
    retries = Retries(flat, clock=clock, random=Random(3))
    longest = 0.0
    for _ in range(12):
        longest = max(longest, retries.refused("a"))
        retries.passed("a", settled=False)
        assert retries.may_try("a")
    assert longest > 4.0
    retries.passed("a", settled=True)
    assert retries.refused("a") == 1.0


def test_who_waits_no_more_or_is_gone_is_dropped(retries):
    for name in "abc":
        retries.refused(name)
    retries.retain(waiting={"a"}, known={"a", "b"})
    assert retries.may_try("b")
    assert retries.may_try("c")
    assert not retries.may_try("a")
