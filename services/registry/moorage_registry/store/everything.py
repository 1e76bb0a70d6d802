"""Reading all resources of a kind, for a watcher's initial state: a few at a time, for all of them are many."""

from collections.abc import AsyncIterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from moorage_registry.core.changes import Resource
from moorage_registry.core.records import Kind
from moorage_registry.store import ledger
from moorage_registry.store.table_map import RecordTable
from moorage_registry.store.tables import ARTIFACTS, COPIES, DOWNLOADS, INSTANCES, MODELS, WORKERS

_AT_ONCE = 100
_TABLES: Mapping[Kind, RecordTable[Any]] = MappingProxyType(
    {
        Kind.MODEL: MODELS,
        Kind.INSTANCE: INSTANCES,
        Kind.ARTIFACT: ARTIFACTS,
        Kind.ARTIFACT_COPY: COPIES,
        Kind.DOWNLOAD: DOWNLOADS,
    }
)
"""Kinds whose records are what watchers see. Of a worker they see its memory pools, too."""


async def read_all(connection: AsyncConnection, kind: Kind) -> AsyncIterator[Sequence[Resource]]:
    """Yields every resource of a kind, by key, so many at a time. They are of one moment if the connection is."""
    if kind is Kind.WORKER:
        async for workers in WORKERS.scan(connection, _AT_ONCE):
            yield await ledger.read_views(connection, workers)
    else:
        async for records in _TABLES[kind].scan(connection, _AT_ONCE):
            yield records
