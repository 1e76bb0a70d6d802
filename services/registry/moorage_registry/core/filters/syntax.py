"""What a filter says, before anybody knows whether the list has such fields."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar, Union

LeafT = TypeVar("LeafT")


class Comparator(StrEnum):
    """What stands between a field and a value."""

    EQUAL = "="
    NOT_EQUAL = "!="
    LESS = "<"
    LESS_OR_EQUAL = "<="
    GREATER = ">"
    GREATER_OR_EQUAL = ">="
    HAS = ":"


@dataclass(frozen=True, slots=True)
class Value:
    """What a field is compared with."""

    text: str
    """Without quotation marks, escapes, and the wildcards at its ends."""
    position: int
    """Where it starts in the filter, in characters, from 1."""
    open_start: bool = False
    """Whether anything may come before the text: it was written with a ``*`` at its start."""
    open_end: bool = False
    """Whether anything may come after the text."""

    @property
    def is_open(self) -> bool:
        """Whether it has a wildcard."""
        return self.open_start or self.open_end

    @property
    def is_anything(self) -> bool:
        """Whether it is just ``*``."""
        return self.is_open and not self.text


@dataclass(frozen=True, slots=True)
class Restriction:
    """One comparison, e.g. ``labels.zone = "a"``."""

    path: tuple[str, ...]
    """The field's name, in its parts."""
    position: int
    """Where the field's name starts in the filter, in characters, from 1."""
    comparator: Comparator
    value: Value


@dataclass(frozen=True, slots=True)
class And(Generic[LeafT]):
    """Holds if all operands do."""

    operands: tuple["Expression[LeafT]", ...]


@dataclass(frozen=True, slots=True)
class Or(Generic[LeafT]):
    """Holds if at least one operand does."""

    operands: tuple["Expression[LeafT]", ...]


@dataclass(frozen=True, slots=True)
class Not(Generic[LeafT]):
    """Holds if the operand does not."""

    operand: "Expression[LeafT]"


Expression = Union[And[LeafT], Or[LeafT], Not[LeafT], LeafT]  # noqa: UP007 - generic, so it must be a Union
"""And, or, not, over comparisons of one kind."""
