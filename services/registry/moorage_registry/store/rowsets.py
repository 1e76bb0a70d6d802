"""Many rows in one statement: they travel as one JSON document, and PostgreSQL makes rows of a table's own type of it.

So a change costs as many statements as it has kinds of rows, however many rows there are of each.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any

import orjson
from sqlalchemy import Table
from sqlalchemy.ext.asyncio import AsyncConnection

Row = Mapping[str, Any]
"""Values by column."""


def row_of(record: Any) -> Row:  # noqa: ANN401 - any dataclass
    """Returns the fields of a dataclass by name; unlike ``asdict`` it copies nothing."""
    return {field.name: getattr(record, field.name) for field in fields(record)}


class RowWriter:
    """Writes rows of one table."""

    def __init__(self, table: Table, *, key: Sequence[str] = (), changing: Sequence[str] = ()) -> None:
        """Describes the rows.

        Args:
            table: The table.
            key: Columns by which `update` finds a row.
            changing: Columns that `update` writes.
        """
        name = table.name
        columns = [column.name for column in table.columns if column.identity is None]
        rows = f"jsonb_populate_recordset(NULL::{name}, $1)"
        values = ", ".join(f'"{column}" = given."{column}"' for column in changing)
        found = " AND ".join(f'{name}."{column}" = given."{column}"' for column in key)
        listed = ", ".join(f'"{column}"' for column in columns)
        self._insert = f"INSERT INTO {name} ({listed}) SELECT {listed} FROM {rows}"  # noqa: S608
        self._update = f"UPDATE {name} SET {values} FROM {rows} AS given WHERE {found}"  # noqa: S608

    async def insert(self, connection: AsyncConnection, rows: Iterable[Row]) -> None:
        """Adds rows. What a row does not name is NULL."""
        await _write(connection, self._insert, rows)

    async def update(self, connection: AsyncConnection, rows: Iterable[Row]) -> None:
        """Writes the changing columns of rows that are found by their key."""
        await _write(connection, self._update, rows)


async def _write(connection: AsyncConnection, statement: str, rows: Iterable[Row]) -> None:
    written = list(rows)
    if written:
        document = orjson.dumps(written, default=_plain)
        await connection.exec_driver_sql(statement, (document.decode(),))


def _plain(value: object) -> object:
    match value:
        case Mapping():
            return dict(value)
        case bytes():
            # As PostgreSQL writes binary columns as text.
            return rf"\x{value.hex()}"
        case _:
            raise TypeError(f"{type(value).__name__} cannot be a column of a row")
