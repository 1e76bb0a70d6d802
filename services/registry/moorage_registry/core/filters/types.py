"""What a field can hold, and how a value for it is written in a filter."""

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import ClassVar

from moorage_common.core.names import NamePattern
from moorage_registry.core.filters.syntax import Value

Scalar = str | int | float | bool | datetime
"""A value to compare with. Members of enums are their short names."""

_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")
_NUMBER = re.compile(r"[+-]?[0-9]{1,19}(\.[0-9]{1,19})?([eE][+-]?[0-9]{1,2})?")
_TIMESTAMP = re.compile(
    r"\d{4}-\d\d-\d\d([Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d))?", re.ASCII
)  # fmt: skip
_WORDS = re.compile("(?<=[a-z])(?=[A-Z])")


class WrongValue(Exception):
    """Raised for a value that is none of a type."""


class FieldType(ABC):
    """What a field holds."""

    is_ordered: ClassVar[bool] = False
    """Whether ``<`` and its kin compare its values."""
    is_sortable: ClassVar[bool] = True
    """Whether a list can be ordered by it."""
    takes_wildcards: ClassVar[bool] = False

    @abstractmethod
    def read(self, value: Value) -> Scalar:
        """Returns what a value stands for.

        Raises:
            WrongValue: It is none of this type.
        """

    @abstractmethod
    def __str__(self) -> str:
        """What a value looks like, for people, e.g. ``a whole number``."""


class Text(FieldType):
    """Any text. A text that is absent is empty, as in the protos."""

    is_ordered = True
    takes_wildcards = True

    def read(self, value: Value) -> str:
        """Any text is one."""
        return value.text

    def __str__(self) -> str:
        return "a text"


class Integer(FieldType):
    """A whole number of 64 bits."""

    is_ordered = True

    def read(self, value: Value) -> int:
        """Returns the number."""
        if not _INTEGER.fullmatch(value.text) or not -(1 << 63) <= int(value.text) < 1 << 63:
            raise WrongValue
        return int(value.text)

    def __str__(self) -> str:
        return "a whole number"


class Number(FieldType):
    """A number that need not be whole."""

    is_ordered = True

    def read(self, value: Value) -> float:
        """Returns the number."""
        if not _NUMBER.fullmatch(value.text):
            raise WrongValue
        return float(value.text)

    def __str__(self) -> str:
        return "a number"


class Boolean(FieldType):
    """True or false."""

    def read(self, value: Value) -> bool:
        """Returns the truth value."""
        if value.text not in {"true", "false"}:
            raise WrongValue
        return value.text == "true"

    def __str__(self) -> str:
        return "true or false"


class Timestamp(FieldType):
    """A moment, to the microsecond."""

    is_ordered = True

    def read(self, value: Value) -> datetime:
        """Returns the moment; a day alone is its start in UTC."""
        if not _TIMESTAMP.fullmatch(value.text):
            raise WrongValue
        try:
            moment = datetime.fromisoformat(value.text.upper())
            return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
        except (ValueError, OverflowError):
            raise WrongValue from None

    def __str__(self) -> str:
        return 'a time such as "2026-01-31T00:00:00Z" or "2026-01-31"'


@dataclass(frozen=True)
class Enumeration(FieldType):
    """A member of an enum, by its short name or by the protos' name: READY, WORKER_STATE_READY."""

    enum: type[StrEnum]

    @property
    def prefix(self) -> str:
        """What the protos put before each name, e.g. ``WORKER_STATE_``."""
        return f"{_WORDS.sub('_', self.enum.__name__).upper()}_"

    def read(self, value: Value) -> str:
        """Returns the short name."""
        short = value.text.removeprefix(self.prefix)
        if short not in set(self.enum):
            raise WrongValue
        return short

    def __str__(self) -> str:
        return f"one of {', '.join(self.enum)}"


@dataclass(frozen=True)
class Name(FieldType):
    """The name of a resource; empty where there is none."""

    pattern: NamePattern
    takes_wildcards = True

    def read(self, value: Value) -> str:
        """Returns the name. With a wildcard it need not be whole."""
        if value.text and not value.is_open and not self.pattern.matches(value.text):
            raise WrongValue
        return value.text

    def __str__(self) -> str:
        return f'a name, "{self.pattern}"'


@dataclass(frozen=True)
class ListOf(FieldType):
    """Several values of one type, asked with ``:``."""

    element: FieldType
    is_sortable = False

    def read(self, value: Value) -> Scalar:
        """Reads one element."""
        return self.element.read(value)

    def __str__(self) -> str:
        return f"a list; each is {self.element}"


class Map(FieldType):
    """Texts by keys: ``labels.zone = "a"``, ``labels:zone``."""

    is_sortable = False
    takes_wildcards = True

    def read(self, value: Value) -> str:
        """Any text is a key."""
        return value.text

    def __str__(self) -> str:
        return "texts by keys"


class Message(FieldType):
    """Something that is there or not, asked with ``:*``."""

    is_sortable = False

    def read(self, value: Value) -> Scalar:  # noqa: ARG002 - whatever it is
        """A message is compared with nothing."""
        raise WrongValue

    def __str__(self) -> str:
        return "*, for whether it is there"
