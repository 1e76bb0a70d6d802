"""What a filter asks of a row, once its fields are known and its values read: nothing in it can be wrong any more.

Every condition is either true or false, also of what is absent: nothing equals, precedes or follows what is absent.
So ``NOT f`` finds just what ``f`` does not.
"""

from dataclasses import dataclass

from moorage_registry.core.filters.syntax import Comparator, Expression
from moorage_registry.core.filters.types import Scalar


@dataclass(frozen=True, slots=True)
class Subject:
    """What is asked about."""

    field: str
    """Full name, e.g. ``pull.state``."""
    key: str | None = None
    """The key, in a field that holds texts by keys; None: the field itself."""


@dataclass(frozen=True, slots=True)
class IsPresent:
    """It has a value other than the type's empty one; a list or a map has at least one element."""

    subject: Subject


@dataclass(frozen=True, slots=True)
class Compares:
    """The field, or an element of the list, compares so with the operand."""

    subject: Subject
    comparator: Comparator
    """Any but NOT_EQUAL and HAS."""
    operand: Scalar


@dataclass(frozen=True, slots=True)
class Resembles:
    """The text, or an element of the list, begins with, ends with or contains a text."""

    subject: Subject
    text: str
    open_start: bool
    """Whether anything may come before the text."""
    open_end: bool
    """Whether anything may come after the text."""


Test = IsPresent | Compares | Resembles
Condition = Expression[Test]
