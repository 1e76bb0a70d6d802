"""What single words and numbers of a file mean: sizes, rates, counts, names of enums.

Each function raises a `ValueError` that says what would be allowed.
"""

import re
from collections.abc import Mapping
from decimal import Decimal

from google.protobuf.descriptor import EnumDescriptor

_UNITS: Mapping[str, int] = {
    "": 1,
    "b": 1,
    **{f"{letter}b": 1000**power for power, letter in enumerate("kmgtp", start=1)},
    **{f"{letter}ib": 1024**power for power, letter in enumerate("kmgtp", start=1)},
}
_RATES: Mapping[str, Decimal] = {
    **{f"{letter}B": Decimal(1000**power) for power, letter in enumerate(("", *"kMGT"))},
    **{f"{letter}iB": Decimal(1024**power) for power, letter in enumerate("KMGT", start=1)},
    **{f"{letter}bit": Decimal(1000**power) / 8 for power, letter in enumerate(("", *"kMGT"))},
}
"""Case counts: Gb/s is a gigabit to some and a gigabyte to others, so it is neither."""
_AMOUNT = re.compile(r"(?P<number>\d+(?:_\d+)*(?:\.\d+)?)\s*(?P<unit>[A-Za-z]*)")
_RATE = re.compile(rf"{_AMOUNT.pattern}/s")
_INTEGER = re.compile(r"[-+]?\d+(_\d+)*")
_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?")
_LONGEST = 64
_INT64_MAX = 2**63 - 1
_TRUE = ("true", "yes", "on")
_FALSE = ("false", "no", "off")
_OTHER_NAMES: Mapping[str, str] = {"MACOS": "DARWIN", "AMD64": "X86_64", "ARM64": "AARCH64"}
"""What others call values of enums."""


def size(text: str) -> int:
    """Returns bytes: "48GiB", "46068 MiB", "1.5TB", "4096"."""
    found = _match(_AMOUNT, text)
    unit = _UNITS.get(found["unit"].lower()) if found else None
    if found is None or unit is None:
        raise ValueError(f"{quoted(text)} is no size; write it as in 48GiB, 50GB, or in bytes")
    return _whole(Decimal(found["number"]) * unit, text)


def rate(text: str) -> int:
    """Returns bytes a second: "300GB/s", "25Gbit/s"."""
    found = _match(_RATE, text)
    unit = _RATES.get(found["unit"]) if found else None
    if found is None or unit is None:
        raise ValueError(f"{quoted(text)} is no rate; write it as in 300GB/s or 25Gbit/s")
    return _whole(Decimal(found["number"]) * unit, text)


def integer(text: str) -> int:
    """Returns a whole number: "8192", "1_000"."""
    if _match(_INTEGER, text) is None:
        raise ValueError(f"{quoted(text)} is no whole number")
    return int(text)


def number(text: str) -> float:
    """Returns a number: "0.9", "1e3"."""
    if _match(_NUMBER, text) is None:
        raise ValueError(f"{quoted(text)} is no number")
    return float(text)


def truth(text: str) -> bool:
    """Returns whether something is so: "true", "no"."""
    if text.lower() not in (*_TRUE, *_FALSE):
        raise ValueError(f"{quoted(text)} is neither true nor false")
    return text.lower() in _TRUE


def enum_value(text: str, enum: EnumDescriptor) -> int:
    """Returns a value of an enum by its name in small letters, "llama.cpp", or as JSON has it."""
    prefix = enum.values_by_number[0].name.removesuffix("UNSPECIFIED")
    name = re.sub(r"[^A-Z0-9]+", "_", text.upper()).removeprefix(prefix)
    value = enum.values_by_name.get(prefix + _OTHER_NAMES.get(name, name))
    if value is None or value.number == 0:
        raise ValueError(f"{quoted(text)} is none of {', '.join(enum_words(enum))}")
    return int(value.number)


def enum_words(enum: EnumDescriptor) -> list[str]:
    """Returns how files name the values of an enum."""
    prefix = enum.values_by_number[0].name.removesuffix("UNSPECIFIED")
    return [value.name.removeprefix(prefix).lower() for value in enum.values if value.number]


def quoted(text: str) -> str:
    """Returns what was written, for a sentence about it."""
    return repr(text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…")


def _match(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    return pattern.fullmatch(text.strip()) if len(text) <= _LONGEST else None


def _whole(amount: Decimal, text: str) -> int:
    if amount > _INT64_MAX:
        raise ValueError(f"{quoted(text)} is more than any machine has")
    return int(amount)
