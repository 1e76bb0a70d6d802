import pytest

from moorage_scheduler.core.text import amount, count


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (0, "0 bytes"),
        (1023, "1023 bytes"),
        (1024, "1.0 KiB"),
        (3 * 2**30 + 2**28, "3.2 GiB"),
        (5 * 2**60, "5120.0 PiB"),
    ],
)
def test_amounts(size, words):
    assert amount(size) == words


def test_counts():
    assert [count(n, "worker") for n in (0, 1, 2)] == ["0 workers", "1 worker", "2 workers"]
