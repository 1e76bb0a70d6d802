"""Reading all resources of a kind, for a watcher's initial state."""

from sqlalchemy.ext.asyncio import AsyncConnection

from moorage_registry.core.changes import Resource
from moorage_registry.core.records import Kind
from moorage_registry.store import ledger
from moorage_registry.store.tables import ARTIFACTS, COPIES, DOWNLOADS, INSTANCES, MODELS, WORKERS


async def read_all(connection: AsyncConnection, kind: Kind) -> list[Resource]:
    """Reads every resource of a kind, by key."""
    match kind:
        case Kind.WORKER:
            return [*await ledger.read_views(connection, await WORKERS.find(connection))]
        case Kind.MODEL:
            return [*await MODELS.find(connection)]
        case Kind.INSTANCE:
            return [*await INSTANCES.find(connection)]
        case Kind.ARTIFACT:
            return [*await ARTIFACTS.find(connection)]
        case Kind.ARTIFACT_COPY:
            return [*await COPIES.find(connection)]
        case Kind.DOWNLOAD:
            return [*await DOWNLOADS.find(connection)]
