"""The order of all changes: revisions given to committed outbox rows, and events read back by revision.

The row lock on `watch_state` is what makes revisions consecutive, whoever sequences. Two changes of one object are
never swapped: the second took its outbox id after it got the object's row lock, that is after the first was committed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from moorage_registry.store import schema

CHANNEL_EVENTS = "moorage_events"
"""Notified when events got revisions."""
CHANNEL_OUTBOX = "moorage_outbox"
"""Notified, outside of any change's transaction, when the outbox has rows."""

_EVENTS, _STATE = schema.events, schema.watch_state

# Rows are taken only by who has the lock: the condition on it is evaluated before the outbox is looked at.
_SEQUENCE = """
WITH state AS MATERIALIZED (
    SELECT revision FROM watch_state WHERE id = 1 FOR UPDATE
), taken AS (
    DELETE FROM outbox
    WHERE id = ANY (ARRAY(
        SELECT id FROM outbox WHERE (SELECT revision FROM state) IS NOT NULL ORDER BY id LIMIT $1
    ))
    RETURNING id, kind, name, worker_ids, event
), written AS (
    INSERT INTO events (revision, kind, name, worker_ids, event, sequenced_at)
    SELECT
        (SELECT revision FROM state) + row_number() OVER (ORDER BY id), kind, name, worker_ids, event, clock_timestamp()
    FROM taken
    RETURNING revision
), moved AS (
    UPDATE watch_state SET revision = (SELECT max(revision) FROM written)
    WHERE id = 1 AND EXISTS (SELECT FROM written)
    RETURNING pg_notify($2, revision::text)
)
SELECT count(*) FROM written LEFT JOIN moved ON true
"""

_AFTER = """
SELECT revision, kind, name, worker_ids, event FROM events WHERE revision > $1 ORDER BY revision LIMIT $2
"""


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """One change in its place."""

    revision: int
    kind: str
    name: str
    worker_ids: list[str]
    """The workers whose desired state it may touch."""
    event: bytes
    """The encoded event, without its revision."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """The newest revision, and the newest that is no longer kept."""

    revision: int
    compacted: int


async def sequence(connection: AsyncConnection, limit: int) -> int:
    """Gives revisions to committed changes, oldest first: one statement, to be a transaction of its own.

    Returns:
        To how many.
    """
    result = await connection.exec_driver_sql(_SEQUENCE, (limit, CHANNEL_EVENTS))
    return int(result.scalar_one())


async def bounds(connection: AsyncConnection) -> Bounds:
    """Reads the newest revision and the newest that is no longer kept."""
    row = (await connection.execute(select(_STATE.c.revision, _STATE.c.compacted))).one()
    return Bounds(row.revision, row.compacted)


async def after(connection: AsyncConnection, revision: int, limit: int) -> Sequence[StoredEvent]:
    """Reads the events after a revision, in order."""
    found = await connection.exec_driver_sql(_AFTER, (revision, limit))
    return [StoredEvent(**row._mapping) for row in found]  # noqa: SLF001 - SQLAlchemy's public name for it


async def compact(connection: AsyncConnection, keep: int) -> None:
    """Drops all but the newest events. Commit afterwards."""
    newest = (
        await connection.execute(select(_STATE.c.revision).where(_STATE.c.id == 1).with_for_update())
    ).scalar_one()
    compacted = max(0, newest - keep)
    await connection.execute(delete(_EVENTS).where(_EVENTS.c.revision <= compacted))
    await connection.execute(update(_STATE).values(compacted=func.greatest(_STATE.c.compacted, compacted)))
