"""Rates and what remains."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage_downloader.core.progress import Progress, RateMeter


def test_a_steady_stream():
    meter = RateMeter(window_s=5)
    for tick in range(1, 101):
        meter.add(tick / 10, 100)
    assert meter.rate(10.0) == pytest.approx(1000, rel=0.03)


def test_a_stall_brings_the_rate_down_to_nothing():
    meter = RateMeter(window_s=5)
    meter.add(0.0, 1000)
    meter.add(1.0, 1000)
    assert meter.rate(1.0) == 2000
    assert meter.rate(4.0) == 500
    assert meter.rate(5.5) == 200
    assert meter.rate(7.0) == 0


def test_a_first_sample_is_no_burst():
    meter = RateMeter(window_s=5)
    assert meter.rate(1.0) == 0
    meter.add(1.0, 1000)
    assert meter.rate(1.0) == 2000  # over half a second at least


@given(st.lists(st.tuples(st.floats(0, 10), st.integers(0, 10**9)), max_size=50))
def test_no_rate_is_negative_or_more_than_all_at_once(samples):
    meter = RateMeter(window_s=5)
    now = 0.0
    for wait, count in samples:
        now += wait
        meter.add(now, count)
        assert 0 <= meter.rate(now) <= 2 * sum(count for _, count in samples)


@pytest.mark.parametrize(
    ("done", "rate", "remaining"), [(0, 10, 10.0), (50, 25, 2.0), (50, 0, None), (100, 0, 0.0), (0, 0, None)]
)
def test_what_remains(done, rate, remaining):
    assert Progress(done_bytes=done, size_bytes=100, bytes_per_second=rate).remaining_s == remaining
