"""Reading one resource, or a page of them."""

from collections.abc import Sequence
from typing import TypeVar

from sqlalchemy import ColumnElement
from sqlalchemy.ext.asyncio import AsyncConnection

from moorage_common.core.errors import NotFound
from moorage_registry.core import pages
from moorage_registry.core.records import Record
from moorage_registry.store.table_map import RecordTable

R = TypeVar("R", bound=Record)


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
    table: RecordTable[R],
    *,
    query: str,
    size: int,
    token: str,
    where: Sequence[ColumnElement[bool]] = (),
) -> tuple[list[R], str]:
    """Reads one page, by key, and the token of the next; an empty token says that it was the last.

    Raises:
        InvalidArgument: The token is not one of this query (PAGE_TOKEN_INVALID).
    """
    limit = pages.page_size(size)
    after = pages.decode(query, token, parts=table.key_length)
    rows = await connection.execute(table.page(after=after, size=limit, where=where))
    found = [table.from_row(row) for row in rows]
    more = len(found) > limit
    kept = found[:limit]
    return kept, pages.encode(query, table.key_of(kept[-1])) if more else ""
