"""WatchService: sends events as they are stored, without decoding them."""

from collections.abc import AsyncIterator

import grpc
from sqlalchemy.ext.asyncio import AsyncConnection

from moorage.registry.v1 import watch_service_pb2 as pb
from moorage_common.rpc.server import RpcServer, ServicerContext
from moorage_registry.convert.events import KIND, encode_bookmark, encode_current, with_revision
from moorage_registry.core.changes import Resource
from moorage_registry.core.records import Kind
from moorage_registry.store import events, ledger
from moorage_registry.store.database import Database
from moorage_registry.store.tables import ARTIFACTS, COPIES, DOWNLOADS, INSTANCES, MODELS, WORKERS
from moorage_registry.watch.tail import EventTail


class WatchServicer:
    """Every change of every resource."""

    def __init__(self, database: Database, tail: EventTail) -> None:
        """Takes the store, for initial states, and the tail, for what comes after."""
        self._database = database
        self._tail = tail

    async def Watch(self, request: pb.WatchRequest, context: ServicerContext) -> AsyncIterator[bytes]:
        """Yields encoded WatchResponses."""
        kinds = frozenset(KIND.from_proto(kind) for kind in request.kinds) or frozenset(Kind)
        after = request.after_revision or self._tail.revision
        if request.initial_state:
            async with self._database.read(snapshot=True) as connection:
                after = (await events.bounds(connection)).revision
                for kind in Kind:
                    if kind in kinds:
                        for resource in await _read_all(connection, kind):
                            yield encode_current(resource)
            yield encode_bookmark(after)
        async for batch in self._tail.follow(after):
            for event in batch:
                if event.kind in kinds:
                    yield with_revision(event.event, event.revision)


async def _read_all(connection: AsyncConnection, kind: Kind) -> list[Resource]:
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


def add_watch_service(server: RpcServer, servicer: WatchServicer) -> None:
    """Adds the service to a server, with responses that are encoded already."""
    handler: grpc.RpcMethodHandler[pb.WatchRequest, bytes] = grpc.unary_stream_rpc_method_handler(
        servicer.Watch, request_deserializer=pb.WatchRequest.FromString
    )
    server.add_handlers("moorage.registry.v1.WatchService", {"Watch": handler})
