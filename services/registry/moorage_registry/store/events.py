"""The order of all changes: revisions given to committed outbox rows, and events read back by revision.

The row lock on `watch_state` is what makes revisions consecutive, whoever sequences. Two changes of one object are
never swapped: the second took its outbox id after it got the object's row lock, that is after the first was committed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import delete, func, insert, literal_column, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from moorage_registry.store import schema

CHANNEL_EVENTS = "moorage_events"
"""Notified when events got revisions."""
CHANNEL_OUTBOX = "moorage_outbox"
"""Notified, outside of any change's transaction, when the outbox has rows."""

_EVENTS, _OUTBOX, _STATE = schema.events, schema.outbox, schema.watch_state


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """One change in its place."""

    revision: int
    kind: str
    name: str
    worker_id: str | None
    event: bytes
    """The encoded event, without its revision."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """The newest revision, and the newest that is no longer kept."""

    revision: int
    compacted: int


async def sequence(connection: AsyncConnection, limit: int) -> int:
    """Gives revisions to committed changes, oldest first, and returns to how many. Commit afterwards."""
    revision = (
        await connection.execute(select(_STATE.c.revision).where(_STATE.c.id == 1).with_for_update())
    ).scalar_one()
    oldest = select(_OUTBOX.c.id).order_by(_OUTBOX.c.id).limit(limit)
    taken = (
        delete(_OUTBOX)
        .where(_OUTBOX.c.id.in_(oldest.scalar_subquery()))
        .returning(_OUTBOX.c.id, _OUTBOX.c.kind, _OUTBOX.c.name, _OUTBOX.c.worker_id, _OUTBOX.c.event)
        .cte("taken")
    )
    numbered = select(
        literal_column(str(int(revision))) + func.row_number().over(order_by=taken.c.id),
        taken.c.kind,
        taken.c.name,
        taken.c.worker_id,
        taken.c.event,
        func.clock_timestamp(),
    )
    columns = ["revision", "kind", "name", "worker_id", "event", "sequenced_at"]
    written = await connection.execute(insert(_EVENTS).from_select(columns, numbered))
    count = written.rowcount
    if count:
        await connection.execute(update(_STATE).values(revision=revision + count))
        await connection.execute(select(func.pg_notify(CHANNEL_EVENTS, str(revision + count))))
    return count


async def bounds(connection: AsyncConnection) -> Bounds:
    """Reads the newest revision and the newest that is no longer kept."""
    row = (await connection.execute(select(_STATE.c.revision, _STATE.c.compacted))).one()
    return Bounds(row.revision, row.compacted)


async def after(connection: AsyncConnection, revision: int, limit: int) -> Sequence[StoredEvent]:
    """Reads the events after a revision, in order."""
    statement = (
        select(_EVENTS.c.revision, _EVENTS.c.kind, _EVENTS.c.name, _EVENTS.c.worker_id, _EVENTS.c.event)
        .where(_EVENTS.c.revision > revision)
        .order_by(_EVENTS.c.revision)
        .limit(limit)
    )
    return [StoredEvent(*row) for row in await connection.execute(statement)]


async def compact(connection: AsyncConnection, keep: int) -> None:
    """Drops all but the newest events. Commit afterwards."""
    newest = (
        await connection.execute(select(_STATE.c.revision).where(_STATE.c.id == 1).with_for_update())
    ).scalar_one()
    compacted = max(0, newest - keep)
    await connection.execute(delete(_EVENTS).where(_EVENTS.c.revision <= compacted))
    await connection.execute(update(_STATE).values(compacted=func.greatest(_STATE.c.compacted, compacted)))
