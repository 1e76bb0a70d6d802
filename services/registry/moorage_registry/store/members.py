"""Who takes part in instances that are spread over several workers.

The rows of an instance are there while it holds claims. They are made and removed under the locks of the workers that
they name: whoever has locked a worker sees every distributed vLLM instance that it serves, and no other can come.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import fields

from sqlalchemy import ColumnElement, and_, delete, or_, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from moorage_common.core.names import instance_name
from moorage_registry.core.records import Member
from moorage_registry.store import schema
from moorage_registry.store.database import Transaction
from moorage_registry.store.rowsets import RowWriter, row_of

_TABLE = schema.instance_members
_INSTANCES = schema.instances
_KEY = ("instance_uid", "worker_id")
_ROWS = RowWriter(
    _TABLE, key=_KEY, changing=[field.name for field in fields(Member) if field.name not in _KEY]
)

SPREAD = text("instances.subordinates <> '{}'")
"""Matches instances over several workers, in the words of the index of their subordinates."""


def takes_part(worker_ids: Collection[str]) -> ColumnElement[bool]:
    """Matches instances in which one of these workers takes part, as primary or as subordinate."""
    ids = list(worker_ids)
    return or_(_INSTANCES.c.worker_id.in_(ids), and_(SPREAD, _INSTANCES.c.subordinates.overlap(ids)))


def loads_at(worker_ids: Collection[str]) -> ColumnElement[bool]:
    """Matches instances that load their artifact on one of these workers."""
    ids = list(worker_ids)
    beside = and_(SPREAD, _INSTANCES.c.artifact_on_all, _INSTANCES.c.subordinates.overlap(ids))
    return or_(_INSTANCES.c.worker_id.in_(ids), beside)


async def of(connection: AsyncConnection, instance_uids: Collection[str]) -> dict[str, list[Member]]:
    """Reads the members of instances, by the instances' uids and by rank."""
    found: dict[str, list[Member]] = defaultdict(list)
    if instance_uids:
        statement = select(*_TABLE.c).where(_TABLE.c.instance_uid.in_(list(instance_uids)))
        for row in await connection.execute(statement.order_by(_TABLE.c.rank)):
            member = Member(**row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for it
            found[member.instance_uid].append(member)
    return found


async def exclusive_on(connection: AsyncConnection, worker_ids: Collection[str]) -> dict[str, str]:
    """Returns the names of the distributed vLLM instances that workers take part in, by the workers' ids."""
    if not worker_ids:
        return {}
    statement = (
        select(_TABLE.c.worker_id, _INSTANCES.c.model_id, _INSTANCES.c.id)
        .join(_INSTANCES, _INSTANCES.c.uid == _TABLE.c.instance_uid)
        .where(_TABLE.c.exclusive, _TABLE.c.worker_id.in_(list(worker_ids)))
    )
    return {row.worker_id: instance_name(row.model_id, row.id) for row in await connection.execute(statement)}


async def add(tx: Transaction, members: Sequence[Member]) -> None:
    """Writes the members of instances that were just bound to workers which are locked."""
    await _ROWS.insert(tx.connection, map(row_of, members))


async def save(tx: Transaction, members: Sequence[Member]) -> None:
    """Writes changed members of locked instances."""
    await _ROWS.update(tx.connection, map(row_of, members))


async def remove(tx: Transaction, instance_uids: Collection[str], *, worker_id: str | None = None) -> None:
    """Removes the members of locked instances, on one worker or on all; the workers are locked."""
    if not instance_uids:
        return
    statement = delete(_TABLE).where(_TABLE.c.instance_uid.in_(list(instance_uids)))
    await tx.execute(statement if worker_id is None else statement.where(_TABLE.c.worker_id == worker_id))
