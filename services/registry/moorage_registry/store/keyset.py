"""Pages of a list in any order, without counting rows: a page starts after the position where the one before ended.

A position is what the last row has in the columns that the list is ordered by, and its key, which breaks ties: so
no row is lost or repeated, whatever comes or goes between two pages. What is absent comes before everything else, or
after it where the order is descending.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, UnaryExpression, and_, false, or_, true, tuple_

from moorage_registry.core.pages import Slot, Value
from moorage_registry.store.fields.stored import SortKey, parameter

Truth = ColumnElement[bool]


@dataclass(frozen=True, slots=True)
class Term:
    """One expression that a list is ordered by."""

    key: SortKey
    descending: bool

    def order(self) -> UnaryExpression[Any]:
        """Returns how the rows are ordered by it."""
        expression = self.key.expression
        return expression.desc().nulls_last() if self.descending else expression.asc().nulls_first()

    def passes(self, value: Value) -> Truth:
        """Matches rows that come after a value."""
        expression = self.key.expression
        if value is None:
            return false() if self.descending else expression.is_not(None)
        if not self.descending:
            return expression > parameter(value)
        less = expression < parameter(value)
        return or_(less, expression.is_(None)) if self.key.nullable else less

    def ties(self, value: Value) -> Truth:
        """Matches rows that have just this value."""
        return self.key.expression.is_(None) if value is None else self.key.expression == parameter(value)


@dataclass(frozen=True, slots=True)
class RowOrder:
    """The whole order of a list."""

    terms: Sequence[Term]
    key: Sequence[ColumnElement[Any]]
    """Columns of the key, outermost first."""
    descending: bool
    """Whether ties are broken by the greatest key first."""

    @property
    def columns(self) -> list[ColumnElement[Any]]:
        """What makes up the position of a row."""
        return [*(term.key.expression for term in self.terms), *self.key]

    @property
    def slots(self) -> list[Slot]:
        """What values a position has."""
        terms = [Slot(term.key.kind, nullable=term.key.nullable) for term in self.terms]
        return terms + [Slot(int if isinstance(column.type, BigInteger) else str) for column in self.key]

    def order(self) -> list[ColumnElement[Any]]:
        """Returns how the rows are ordered."""
        by_key = [column.desc() if self.descending else column for column in self.key]
        return [*(term.order() for term in self.terms), *by_key]

    def after(self, position: Sequence[Value]) -> Truth:
        """Matches the rows after a position."""
        values, key = position[: len(self.terms)], position[len(self.terms) :]
        passed: list[Truth] = []
        tied: list[Truth] = []
        for term, value in zip(self.terms, values, strict=True):
            passed.append(and_(true(), *tied, term.passes(value)))
            tied.append(term.ties(value))
        whole = tuple_(*self.key)
        by_key = whole < tuple(key) if self.descending else whole > tuple(key)
        return or_(*passed, and_(true(), *tied, by_key))
