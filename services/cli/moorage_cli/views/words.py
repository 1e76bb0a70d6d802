"""Quantities, ages and names, for people."""

from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def size(count: int) -> str:
    """Returns bytes in three significant digits: "766 KiB", "1.20 GiB"."""
    amount = float(count)
    unit = 0
    while amount >= 999.5 and unit < len(_UNITS) - 1:
        amount /= 1024
        unit += 1
    if unit == 0:
        return f"{count} B"
    decimals = max(0, 2 - (amount >= 9.995) - (amount >= 99.95))
    return f"{amount:.{decimals}f} {_UNITS[unit]}"


def tokens_per_s(rate: float) -> str:
    """Returns a speed in about two significant digits: "3.5 tokens/s", "41 tokens/s"."""
    return f"{rate:.2g} tokens/s" if rate < 9.95 else f"{rate:.0f} tokens/s"


def duration(seconds: float) -> str:
    """Returns a duration by its one or two largest units: "0.6 s", "42 s", "3 min", "2 h 5 min", "4 d"."""
    if seconds < 9.95:
        return f"{max(0.0, seconds):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes = whole // 60
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{hours // 24} d"


def age(since: Timestamp, *, now: datetime) -> str:
    """Returns how long ago something happened; empty when it did not."""
    if not since.seconds:
        return ""
    return duration((now - since.ToDatetime(tzinfo=UTC)).total_seconds())


def short(name: str) -> str:
    """Returns a resource's name without its collections: "models/a/instances/b" is "a/b"."""
    return "/".join(name.split("/")[1::2])


def state(enum_name: str, prefix: str) -> str:
    """Returns a proto enum's value name without its prefix: INSTANCE_STATE_RUNNING is RUNNING."""
    return enum_name.removeprefix(prefix)


def plural(count: int, noun: str) -> str:
    """Returns "1 file" or "2 files"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def parent(name: str) -> str:
    """Returns the name of the resource that one belongs to: "models/a" for "models/a/instances/b"."""
    return "/".join(name.split("/")[:-2])
