"""Rows to records and back: the columns of a table are the fields of its record.

Every change of a resource goes the same way: lock its row, compute the new record, write it whole. `RecordTable` knows
how to do that for many rows at once, and puts each change on record for the watchers.
"""

from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from dataclasses import fields, replace
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Select, Table, delete, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from moorage_registry.core.changes import Change, Operation, Resource
from moorage_registry.core.records import Record
from moorage_registry.store.database import Transaction
from moorage_registry.store.rowsets import RowWriter, row_of

R = TypeVar("R", bound=Record)


class RecordTable(Generic[R]):
    """One table whose rows are the records of one kind of resource."""

    def __init__(
        self,
        table: Table,
        record: type[R],
        *,
        key: Sequence[str],
        as_resource: Callable[[R], Resource] | None,
    ) -> None:
        """Describes the table.

        Args:
            table: The table.
            record: The class of its records.
            key: Columns of the id, outermost first, e.g. ``("model_id", "id")``.
            as_resource: What watchers see of a record; None if the caller puts changes on record itself.
        """
        self.table = table
        self._record = record
        self._key = [table.c[name] for name in key]
        self._key_names = tuple(key)
        self._as_resource = as_resource
        self._names = [f.name for f in fields(record)]
        self._columns = [table.c[name] for name in self._names]
        mutable = [c.name for c in self._columns if c.name not in {"uid", "created_at", *key}]
        self._writer = RowWriter(table, key=["uid"], changing=mutable)

    @property
    def columns(self) -> Sequence[ColumnElement[Any]]:
        """What a record is made of."""
        return self._columns

    @property
    def key(self) -> Sequence[ColumnElement[Any]]:
        """Columns of the id, outermost first."""
        return self._key

    def from_values(self, values: Sequence[Any]) -> R:
        """Makes a record of the values of `columns`."""
        return self._record(**dict(zip(self._names, values, strict=True)))

    def select(self, *where: ColumnElement[bool]) -> Select[Any]:
        """Selects whole rows, by key."""
        return select(*self._columns).where(*where).order_by(*self._key)

    def keyed(self, keys: Collection[tuple[str, ...]]) -> ColumnElement[bool]:
        """Matches the rows with these keys."""
        return tuple_(*self._key).in_(list(keys))

    async def find(self, connection: AsyncConnection, *where: ColumnElement[bool]) -> list[R]:
        """Reads records, by key, without locking them."""
        return [self.from_values(row) for row in await connection.execute(self.select(*where))]

    async def scan(self, connection: AsyncConnection, at_once: int) -> AsyncIterator[list[R]]:
        """Yields all records, by key, so many at a time."""
        start: list[ColumnElement[bool]] = []
        while True:
            rows = await connection.execute(self.select(*start).limit(at_once))
            found = [self.from_values(row) for row in rows]
            if found:
                yield found
            if len(found) < at_once:
                return
            start = [tuple_(*self._key) > self.key_of(found[-1])]

    async def lock(
        self,
        tx: Transaction,
        *where: ColumnElement[bool],
        share: bool = False,
        skip_locked: bool = False,
        limit: int | None = None,
    ) -> list[R]:
        """Reads records and locks their rows, in the order of their uids: no two callers can deadlock.

        With share, others may lock them so too, and only changes have to wait.
        """
        statement = (
            select(*self._columns)
            .where(*where)
            .order_by(self.table.c.uid)
            .with_for_update(read=share, skip_locked=skip_locked)
            .limit(limit)
        )
        locked = [self.from_values(row) for row in await tx.execute(statement)]
        tx.saw(locked)
        return locked

    async def insert(self, tx: Transaction, records: Iterable[R]) -> list[R]:
        """Writes new records."""
        written = list(records)
        if written:
            await self._writer.insert(tx.connection, map(row_of, written))
            self._note(tx, Operation.CREATED, written)
        return written

    async def save(self, tx: Transaction, records: Iterable[R], *, measured: bool = False) -> list[R]:
        """Writes changed records of locked rows, each with its next version, and returns them so.

        With measured, only what was measured changed: no node is told.
        """
        saved = [replace(r, version=r.version + 1, updated_at=tx.now) for r in records]
        if saved:
            await self._writer.update(tx.connection, map(row_of, saved))
            self._note(tx, Operation.UPDATED, saved, measured=measured)
        return saved

    async def delete(self, tx: Transaction, records: Iterable[R]) -> None:
        """Removes records of locked rows. The event that tells of it has a version of its own."""
        gone = [replace(r, version=r.version + 1, updated_at=tx.now) for r in records]
        if gone:
            await tx.execute(delete(self.table).where(self.table.c.uid.in_([record.uid for record in gone])))
            self._note(tx, Operation.DELETED, gone)

    def key_of(self, record: R) -> tuple[str, ...]:
        """Returns a record's key."""
        return tuple(getattr(record, name) for name in self._key_names)

    def _note(
        self, tx: Transaction, operation: Operation, records: Iterable[R], *, measured: bool = False
    ) -> None:
        if self._as_resource:
            for record in records:
                resource = self._as_resource(record)
                tx.record(Change(operation=operation, resource=resource, measured=measured))
