"""Reading one resource, or a page of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncConnection

from moorage_common.core.errors import NotFound
from moorage_registry.core import pages
from moorage_registry.core.filters.checks import check
from moorage_registry.core.filters.ordering import parse_order
from moorage_registry.core.filters.parser import parse_filter
from moorage_registry.core.records import Record
from moorage_registry.store.conditions import sql_of
from moorage_registry.store.fields.stored import FieldTable
from moorage_registry.store.keyset import RowOrder, Term
from moorage_registry.store.table_map import RecordTable

R = TypeVar("R", bound=Record)
RowT = TypeVar("RowT")

_NAME = "name"
"""The field whose order is that of the key: by ids, outermost first."""


class ListRequest(Protocol):
    """What every request for a list says."""

    @property
    def page_size(self) -> int:
        """How many results; 0: the default."""

    @property
    def page_token(self) -> str:
        """Where the page before ended; empty: from the start."""

    @property
    def filter(self) -> str:
        """Which results (AIP-160); empty: all."""

    @property
    def order_by(self) -> str:
        """In which order; empty: the list's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing(Generic[RowT]):
    """What can be listed, and how."""

    columns: Sequence[ColumnElement[Any]]
    """What is read of each row."""
    make: Callable[[Sequence[Any]], RowT]
    """Makes a result of what was read."""
    key: Sequence[ColumnElement[Any]]
    """Columns that are different in every row and never NULL, outermost first: the list's own order."""
    fields: FieldTable
    """What it can be filtered and ordered by. The order of the field ``name`` is that of the key."""
    default_order: str = ""
    """The order of requests that give none, as in `order_by`; empty: by key."""

    @classmethod
    def of(cls, table: RecordTable[R], fields: FieldTable) -> "Listing[R]":
        """Lists the records of a table."""
        return Listing(columns=table.columns, make=table.from_values, key=table.key, fields=fields)

    def row_order(self, order_by: str) -> RowOrder:
        """Returns the order that a request asks for; ties are broken by key.

        Raises:
            InvalidArgument: It is none (ORDER_BY_INVALID).
        """
        asked = parse_order(order_by, self.fields.types) or parse_order(self.default_order, self.fields.types)
        terms: list[Term] = []
        for order in asked:
            if order.field == _NAME:
                return RowOrder(terms, self.key, descending=order.descending)
            terms.append(Term(self.fields[order.field].sort_key(), order.descending))
        return RowOrder(terms, self.key, descending=False)

    def where(self, filter_: str) -> list[ColumnElement[bool]]:
        """Returns what finds the rows that a filter asks for.

        Raises:
            InvalidArgument: It is none of this list (FILTER_INVALID).
        """
        parsed = parse_filter(filter_)
        return [sql_of(check(parsed, self.fields.types), self.fields)] if parsed else []


async def get(connection: AsyncConnection, table: RecordTable[R], name: str, *key: str) -> R:
    """Reads one resource.

    Raises:
        NotFound: There is none of this name.
    """
    found = await table.find(connection, table.keyed([key]))
    if not found:
        raise NotFound(f"there is no {name}", resource=name)
    return found[0]


async def page(
    connection: AsyncConnection,
    listing: Listing[RowT],
    request: ListRequest,
    *,
    query: str,
    where: Sequence[ColumnElement[bool]] = (),
) -> tuple[list[RowT], str]:
    """Reads one page and the token of the next; an empty token says that it was the last.

    Args:
        connection: Where to read.
        listing: What is listed.
        request: How many, from where, which, and in which order.
        query: What is listed, in words that tell it from any other list: ``models/llama3/instances``.
        where: What the results are besides what the request's filter says of them.

    Raises:
        InvalidArgument: The filter or the order is wrong (FILTER_INVALID, ORDER_BY_INVALID), or the token is not one
            of this query (PAGE_TOKEN_INVALID).
    """
    limit = pages.page_size(request.page_size)
    query_id = pages.query_id(query, request.filter, request.order_by)
    order = listing.row_order(request.order_by)
    conditions = [*where, *listing.where(request.filter)]
    after = pages.decode(query_id, request.page_token, order.slots)
    if after is not None:
        conditions.append(order.after(after))
    position = [column.label(f"position_{number}") for number, column in enumerate(order.columns)]
    statement = select(*listing.columns, *position).where(*conditions).order_by(*order.order())
    rows = (await connection.execute(statement.limit(limit + 1))).all()
    width = len(listing.columns)
    found = [listing.make(row[:width]) for row in rows[:limit]]
    return found, pages.encode(query_id, rows[limit - 1][width:]) if len(rows) > limit else ""
