from datetime import UTC, datetime

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from moorage_cli.views import words


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "0.98 KiB"),
        (1023, "1.00 KiB"),
        (784_384, "766 KiB"),
        (10 * 1024, "10.0 KiB"),
        (10_229, "9.99 KiB"),
        (10_235, "10.0 KiB"),
        (1024**2 - 1, "1.00 MiB"),
        (1_288_490_188, "1.20 GiB"),
        (3 * 1024**6, "3072 PiB"),
    ],
)
def test_size(count: int, text: str) -> None:
    assert words.size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1.0, "0.0 s"),
        (0.64, "0.6 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (61, "1 min"),
        (3600, "1 h"),
        (3900, "1 h 5 min"),
        (400_000, "4 d"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert words.duration(seconds) == text


def test_age_of_what_did_not_happen_is_empty() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert words.age(Timestamp(), now=now) == ""
    assert words.age(Timestamp(seconds=int(now.timestamp()) - 120), now=now) == "2 min"


def test_short_names() -> None:
    assert words.short("models/tiny/instances/a1b2") == "tiny/a1b2"
    assert words.short("workers/gpu-07") == "gpu-07"
    assert words.short("") == ""
