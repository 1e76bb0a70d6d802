"""Fields as they are stored: what a condition on one is in SQL."""

import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, String, and_, func, literal, true

from moorage_registry.core.filters.conditions import Compares, IsPresent, Resembles, Test
from moorage_registry.core.filters.syntax import Comparator
from moorage_registry.core.filters.types import Boolean, FieldType, Integer, Number, Scalar, Timestamp

Sql = ColumnElement[Any]
Truth = ColumnElement[bool]

ORDERED_CHARACTERS = 128
"""How much of a text counts when a list is ordered by it: it goes into page tokens, whose length is bounded."""

_OPERATORS: Mapping[Comparator, Callable[[Any, Any], Truth]] = {
    Comparator.EQUAL: operator.eq,
    Comparator.LESS: operator.lt,
    Comparator.LESS_OR_EQUAL: operator.le,
    Comparator.GREATER: operator.gt,
    Comparator.GREATER_OR_EQUAL: operator.ge,
}


@dataclass(frozen=True, slots=True)
class SortKey:
    """What a list is ordered by when it is ordered by a field."""

    expression: Sql
    kind: type
    """str, int, float, bool or datetime."""
    nullable: bool


class StoredField(ABC):
    """A field of a list."""

    def __init__(self, name: str, type_: FieldType) -> None:
        self.name = name
        self.type = type_

    @abstractmethod
    def condition(self, test: Test) -> Truth:
        """Returns what finds the rows that pass a test of this field: true or false for each row, never NULL."""

    def sort_key(self) -> SortKey:
        """Returns what the rows are ordered by.

        Raises:
            TypeError: Nothing is ordered by such a field; callers have checked that.
        """
        raise TypeError(f"nothing is ordered by {self.name}")


class StoredScalar(StoredField):
    """A number, a truth value, a moment, a text, an enum's member by its short name, or a name in whole."""

    def __init__(self, name: str, type_: FieldType, expression: Sql, *, nullable: bool = False) -> None:
        """Describes the field.

        Args:
            name: Its full name.
            type_: What it holds.
            expression: Its value in SQL.
            nullable: Whether that can be NULL, which is what is absent.
        """
        super().__init__(name, type_)
        self._expression = expression
        self._nullable = nullable

    def condition(self, test: Test) -> Truth:
        """Returns what finds the rows."""
        found = value_condition(self._expression, self.type, test)
        return and_(self._expression.is_not(None), found) if self._nullable else found

    def sort_key(self) -> SortKey:
        """Returns what the rows are ordered by."""
        match self.type:
            case Integer():
                return SortKey(self._expression, int, self._nullable)
            case Number():
                return SortKey(self._expression, float, self._nullable)
            case Boolean():
                return SortKey(self._expression, bool, self._nullable)
            case Timestamp():
                return SortKey(self._expression, datetime, self._nullable)
            case _:
                return SortKey(sortable_text(self._expression), str, self._nullable)


class StoredMap(StoredField):
    """Texts by keys, as a JSON object."""

    def __init__(self, name: str, type_: FieldType, column: Sql) -> None:
        super().__init__(name, type_)
        self._column = column

    def condition(self, test: Test) -> Truth:
        """Returns what finds the rows."""
        key = test.subject.key
        if key is None:
            return func.coalesce(self._column, func.jsonb_build_object()) != func.jsonb_build_object()
        value = self._column[key].astext
        found = true() if isinstance(test, IsPresent) else text_condition(value, test)
        return and_(value.is_not(None), found)


class StoredMessage(StoredField):
    """Something that is there or not."""

    def __init__(self, name: str, type_: FieldType, present: Truth) -> None:
        super().__init__(name, type_)
        self._present = present

    def condition(self, test: Test) -> Truth:  # noqa: ARG002 - there is but one
        """Returns what finds the rows."""
        return self._present


class FieldTable:
    """The fields of one list."""

    def __init__(self, fields: Iterable[StoredField]) -> None:
        """Takes the fields, in the order in which people are told of them."""
        self._fields = {field.name: field for field in fields}
        self.types: dict[str, FieldType] = {name: field.type for name, field in self._fields.items()}

    def __getitem__(self, name: str) -> StoredField:
        return self._fields[name]


def value_condition(value: Sql, type_: FieldType, test: Test) -> Truth:
    """Returns what finds the rows where a value that is not NULL passes a test."""
    match test, type_:
        case IsPresent(), Integer() | Number():
            return value != 0
        case IsPresent(), Boolean():
            return value.is_(True)
        case IsPresent(), Timestamp():
            return true()
        case Compares(), Integer() | Number() | Boolean() | Timestamp():
            return compared(value, test.comparator, test.operand)
        case _:
            return text_condition(value, test)


def text_condition(value: Sql, test: Test) -> Truth:
    """Returns what finds the rows where a text that is not NULL passes a test. Texts go by their code points."""
    match test:
        case IsPresent():
            return value != literal("")
        case Compares(comparator=Comparator.EQUAL):
            return value == literal(test.operand)
        case Compares():
            return compared(value.collate("C"), test.comparator, test.operand)
        case Resembles(open_start=False):
            return value.startswith(test.text, autoescape=True)
        case Resembles(open_end=False):
            return value.endswith(test.text, autoescape=True)
        case Resembles():
            return value.contains(test.text, autoescape=True)


def compared(value: Sql, comparator: Comparator, operand: Scalar) -> Truth:
    """Returns the comparison of a value with an operand, which goes to the database as a parameter."""
    return _OPERATORS[comparator](value, parameter(operand))


def parameter(value: Scalar) -> Sql:
    """Returns a value as a parameter; numbers have 64 bits, whatever the column has."""
    return literal(value, BigInteger) if type(value) is int else literal(value)


def sortable_text(value: Sql) -> Sql:
    """Returns as much of a text as it is ordered by, by its code points."""
    return func.left(value, ORDERED_CHARACTERS, type_=String).collate("C")
