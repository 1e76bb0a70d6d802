"""Heartbeats that are written together while the database refuses them: everybody is told, and nothing is lost."""

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta

import asyncpg
import pytest
from fleet_tools import GIB
from sqlalchemy.exc import ProgrammingError

from moorage_common.core.clock import SystemClock
from moorage_common.core.errors import Unavailable
from moorage_registry.heartbeat.batch import HeartbeatBatch
from moorage_registry.store.workers import Measured

NOTHING = Measured()


def foreign(gib):
    return Measured(foreign={"ram": gib * GIB})


@asynccontextmanager
async def without(database, *, table, column=None):
    """A database in which a table, or one of its columns, is not to be found."""
    connection = await asyncpg.connect(database.owner.replace("+asyncpg", ""))
    if column:
        away, back = f"{table} RENAME COLUMN {column} TO gone", f"{table} RENAME COLUMN gone TO {column}"
    else:
        away, back = f"{table} RENAME TO gone", f"gone RENAME TO {table}"
    try:
        await connection.execute(f"ALTER TABLE {away}")
        yield
        await connection.execute(f"ALTER TABLE {back}")
    finally:
        await connection.close()


@pytest.fixture
async def batch(store):
    return HeartbeatBatch(store, SystemClock(), lease_ttl=timedelta(seconds=3))


@pytest.fixture
async def running(batch):
    task = asyncio.create_task(batch.run())
    yield task
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_what_could_not_be_written_is_written_with_the_next_heartbeat_of_anybody(
    fleet, database, batch, running
):
    first = (await fleet.register("gpu-01", node="node-1")).lease_id
    second = (await fleet.register("gpu-02", node="node-2")).lease_id
    async with without(database, table="memory_pools"):
        with pytest.raises(Unavailable):
            await batch.take("gpu-01", first, foreign(4))
    await batch.take("gpu-02", second, NOTHING)
    assert (await fleet.worker("gpu-01")).ram.foreign_bytes == 4 * GIB


async def test_of_what_could_not_be_written_the_newer_counts(fleet, database, batch, running):
    lease = (await fleet.register("gpu-01")).lease_id
    async with without(database, table="memory_pools"):
        with pytest.raises(Unavailable):
            await batch.take("gpu-01", lease, foreign(4))
    await batch.take("gpu-01", lease, foreign(1))
    assert (await fleet.worker("gpu-01")).ram.foreign_bytes == 1 * GIB


async def test_a_defect_is_raised_and_leaves_no_agent_waiting(fleet, database, batch, running):
    lease = (await fleet.register("gpu-01")).lease_id
    async with without(database, table="worker_leases", column="expires_at"), asyncio.timeout(5):
        with pytest.raises(ProgrammingError):
            await batch.take("gpu-01", lease, NOTHING)
    with pytest.raises(ProgrammingError):
        await running
