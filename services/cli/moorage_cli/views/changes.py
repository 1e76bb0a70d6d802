"""What differs between a resource before and after, in words."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from moorage.registry.v1 import watch_service_pb2
from moorage_cli.views.words import size

_LONGEST_VALUE = 120
Value = object
"""A part of a message as JSON has it."""


@dataclass(frozen=True, slots=True)
class Change:
    """One field that differs."""

    path: str
    """E.g. "replicas" or "labels.zone"."""
    before: Value
    """None: it was not there."""
    after: Value
    """None: it is not there any more."""

    def __str__(self) -> str:
        """Says it, e.g. "replicas: 1 → 3"."""
        if self.after is None:
            return f"{self.path}: {word(self.path, self.before)} → nothing"
        if self.before is None:
            return f"{self.path}: {word(self.path, self.after)}"
        return f"{self.path}: {self.step}"

    @property
    def step(self) -> str:
        """From what to what, e.g. "STARTING → RUNNING"."""
        return f"{word(self.path, self.before)} → {word(self.path, self.after)}"


def differences(before: Mapping[str, Value], after: Mapping[str, Value]) -> list[Change]:
    """Returns every field that differs, in the order of the fields. Nested ones have a path."""
    old, new = dict(_flat("", before)), dict(_flat("", after))
    changes = [Change(path, old.get(path), new.get(path)) for path in dict.fromkeys((*old, *new))]
    return [change for change in changes if change.before != change.after]


def word(path: str, value: Value) -> str:
    """Returns a value for people: enums without their prefix, bytes with a unit, long ones cut."""
    if isinstance(value, bool):
        return str(value).lower()
    if path.endswith("_bytes") and isinstance(value, int | float | str):
        return size(int(value))
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    text = _ENUM_PREFIX.sub("", str(value))
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"


def _flat(path: str, value: Value) -> Iterator[tuple[str, Value]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _flat(f"{path}.{key}" if path else str(key), item)
    elif (
        isinstance(value, Sequence)
        and not isinstance(value, str)
        and any(isinstance(item, Mapping) for item in value)
    ):
        for position, item in enumerate(value):
            yield from _flat(f"{path}[{position}]", item)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        yield path, ", ".join(str(item) for item in value)
    elif value != "":
        # An empty text is none.
        yield path, value


def _enum_prefixes() -> re.Pattern[str]:
    """What the names of all values of an enum begin with, for every enum that a resource can have."""
    found: set[str] = set()
    waiting = [watch_service_pb2.DESCRIPTOR]
    seen: set[str] = set()
    while waiting:
        file = waiting.pop()
        if file.name in seen or not file.package.startswith("moorage."):
            continue
        seen.add(file.name)
        waiting += list(file.dependencies)
        for enum in file.enum_types_by_name.values():
            found.add(enum.values_by_number[0].name.removesuffix("UNSPECIFIED"))
    return re.compile(f"^(?:{'|'.join(sorted(found, reverse=True))})(?=[A-Z0-9])")


_ENUM_PREFIX = _enum_prefixes()
