from datetime import UTC, timedelta

from moorage_common.core.clock import Clock, SystemClock


def test_the_system_clock_is_aware_and_does_not_go_back() -> None:
    clock: Clock = SystemClock()
    assert clock.now().tzinfo is UTC
    assert clock.now().utcoffset() == timedelta(0)
    assert clock.monotonic() <= clock.monotonic()
