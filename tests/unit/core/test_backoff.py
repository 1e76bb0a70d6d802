from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage_common.core.backoff import Backoff, BackoffPolicy

POLICY = BackoffPolicy(first_s=0.1, factor=2, cap_s=5, floor_s=0.01)


@given(failures=st.integers(min_value=1, max_value=10_000), seed=st.integers())
def test_a_wait_stays_between_floor_and_cap(failures: int, seed: int) -> None:
    assert 0.01 <= POLICY.delay_s(failures, Random(seed)) <= 5


def test_the_ceiling_doubles_up_to_the_cap() -> None:
    assert [POLICY.ceiling_s(failures) for failures in (1, 2, 3, 7, 2000)] == [0.1, 0.2, 0.4, 5, 5]


def test_a_success_starts_the_count_again() -> None:
    backoff = Backoff(POLICY, Random(1))
    waits = [backoff.next_delay_s() for _ in range(8)]
    assert backoff.failures == 8
    backoff.reset()
    assert backoff.failures == 0
    assert backoff.next_delay_s() <= 0.1 < max(waits)


def test_the_same_seed_gives_the_same_waits() -> None:
    first, second = Backoff(POLICY, Random(7)), Backoff(POLICY, Random(7))
    assert [first.next_delay_s() for _ in range(5)] == [second.next_delay_s() for _ in range(5)]


@pytest.mark.parametrize("wrong", [{"first_s": 10.0, "cap_s": 1.0}, {"factor": 0.5}, {"floor_s": -1.0}])
def test_a_policy_that_makes_no_sense_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="back-off needs"):
        BackoffPolicy(**wrong)
