"""Connections and transactions: every write of the registry passes through `Database.transaction`.

A transaction collects the changes that it makes; just before it commits, after all of its row locks, they go
into the outbox, and afterwards the sequencer is woken. So no change is committed that watchers are not told of.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import datetime
from random import Random
from typing import Any, TypeVar

import asyncpg
import orjson
from sqlalchemy import func, select, text
from sqlalchemy.engine import Result
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.sql import Executable

from moorage_common.core.backoff import BackoffPolicy
from moorage_registry.core.changes import Change, Operation, name_of
from moorage_registry.core.records import Kind, Record
from moorage_registry.store.failures import DATABASE_ERRORS, contention, is_retryable, translate

EncodeEvent = Callable[[Change, datetime], bytes]
"""Turns a change into the event that watchers get, without its revision."""

T = TypeVar("T")

_RETRY = BackoffPolicy(first_s=0.02, cap_s=0.5, floor_s=0.005)

_OUTBOX = """
INSERT INTO outbox (kind, name, worker_ids, event)
SELECT kind, name, string_to_array(worker_ids, ' '), event
FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[])
    WITH ORDINALITY AS change (kind, name, worker_ids, event, position)
ORDER BY position
"""

MAX_ATTEMPTS = 6
"""How often a transaction that lost a race is run before the caller is told to retry."""


def create_engine(url: str, **options: Any) -> AsyncEngine:  # noqa: ANN401
    """Returns a pool of connections to ``postgresql://…``, with whatever asyncpg knows after the ``?``."""

    async def connect() -> "asyncpg.Connection":
        return await asyncpg.connect(url, timeout=5, server_settings={"application_name": "moorage-registry"})

    return create_async_engine(
        "postgresql+asyncpg://",
        async_creator=connect,
        json_serializer=lambda value: orjson.dumps(value).decode(),
        json_deserializer=orjson.loads,
        **options,
    )


class Overtaken(Exception):
    """Raised by work that finds, with its locks, that what it read before them has changed: run it again."""


class Transaction:
    """One database transaction and the changes that it makes."""

    def __init__(self, connection: AsyncConnection, now: datetime) -> None:
        self.connection = connection
        self.now = now
        """When it began, by the database's clock."""
        self._changes: dict[tuple[Kind, str], Change] = {}
        self._before: dict[str, Record] = {}

    async def execute(self, statement: Executable, parameters: Any = None) -> Result[Any]:  # noqa: ANN401
        """Executes one statement; with a list of parameters, once for each of them."""
        return await self.connection.execute(statement, parameters)

    def record(self, change: Change) -> None:
        """Notes a change for the outbox. Of several of one resource watchers see the last."""
        earlier = self._changes.pop(change.key, None)
        if earlier and earlier.operation is Operation.CREATED:
            if change.operation is Operation.DELETED:
                return
            change = Change(operation=Operation.CREATED, resource=change.resource)
        elif earlier and not earlier.measured:
            change = replace(change, measured=False)
        self._changes[change.key] = change

    def saw(self, records: Iterable[Record]) -> None:
        """Notes what records were like when they were first locked."""
        for record in records:
            self._before.setdefault(record.uid, record)

    def before(self, uid: str) -> Record | None:
        """Returns what a record was like before this transaction; None if it did not exist, or was never locked."""
        return self._before.get(uid)

    @property
    def changes(self) -> list[Change]:
        """What the outbox will be told."""
        return list(self._changes.values())


class Database:
    """A pool of connections to PostgreSQL."""

    def __init__(self, url: str, *, encode_event: EncodeEvent, pool_size: int = 10) -> None:
        """Creates the pool; nothing is connected before the first use.

        Args:
            url: ``postgresql://user:password@host:port/database``.
            encode_event: Turns a change into the event that watchers get.
            pool_size: Connections at most.
        """
        self._engine = create_engine(
            url, pool_size=pool_size, max_overflow=0, pool_timeout=10, pool_use_lifo=True
        )
        self._alone = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        self._snapshots = self._engine.execution_options(isolation_level="REPEATABLE READ")
        self._encode_event = encode_event
        self._random = Random()
        self.committed = asyncio.Event()
        """Set after a commit that put something into the outbox; the sequencer clears it."""

    async def close(self) -> None:
        """Closes every connection."""
        await self._engine.dispose()

    async def ping(self) -> None:
        """Asks the database for a sign of life.

        Raises:
            Unavailable: There is none (DATABASE_UNAVAILABLE).
        """
        async with self.read() as connection:
            await connection.execute(text("SELECT 1"))

    @asynccontextmanager
    async def read(self, *, snapshot: bool = False) -> AsyncIterator[AsyncConnection]:
        """Opens a connection for reading; with snapshot, everything read is of one moment.

        Raises:
            Unavailable: The database is away (DATABASE_UNAVAILABLE).
        """
        with translated():
            async with (self._snapshots if snapshot else self._alone).connect() as connection:
                yield connection

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[AsyncConnection]:
        """Opens a connection on which each statement is a transaction of its own, and no change of a resource.

        Raises:
            Unavailable: The database is away (DATABASE_UNAVAILABLE).
        """
        async with self.read() as connection:
            yield connection

    async def transact(self, work: Callable[[Transaction], Awaitable[T]], *, commit: bool = True) -> T:
        """Runs work in a transaction, again if it lost a deadlock, and returns its result.

        Args:
            work: What to do. It may run several times, and must not change anything but the transaction.
            commit: False rolls everything back after all checks were made (``validate_only``).

        Raises:
            MoorageError: What work raised, or what the database's refusal stands for.
        """
        for attempt in range(1, MAX_ATTEMPTS + 1):
            try:
                with translated(attempt < MAX_ATTEMPTS):
                    return await self._attempt(work, commit=commit)
            except DBAPIError as error:
                if not is_retryable(error):
                    raise
            except Overtaken:
                pass
            await asyncio.sleep(_RETRY.delay_s(attempt, self._random))
        raise contention()

    async def _attempt(self, work: Callable[[Transaction], Awaitable[T]], *, commit: bool) -> T:
        async with self._engine.connect() as connection:
            now = (await connection.execute(select(func.clock_timestamp()))).scalar_one()
            transaction = Transaction(connection, now)
            result = await work(transaction)
            if not commit:
                await connection.rollback()
                return result
            changes = transaction.changes
            if changes:
                await connection.exec_driver_sql(_OUTBOX, self._outbox_columns(transaction))
            await connection.commit()
        if changes:
            self.committed.set()
        return result

    def _outbox_columns(self, tx: Transaction) -> tuple[list[Any], ...]:
        changes = tx.changes
        return (
            [change.kind.value for change in changes],
            [name_of(change.resource) for change in changes],
            # Arrays of different lengths do not make an array: each travels as a text.
            [" ".join(change.workers(tx.before(change.uid))) for change in changes],
            [self._encode_event(change, tx.now) for change in changes],
        )


@contextmanager
def translated(leave_retryable: bool = False) -> Iterator[None]:  # noqa: FBT001, FBT002
    """Turns database errors into errors of the mesh; retryable ones are left as they are on demand."""
    try:
        yield
    except DATABASE_ERRORS as error:
        if leave_retryable and is_retryable(error):
            raise
        translated = translate(error)
        if translated is None:
            raise
        raise translated from error
