"""WatchService: sends events as they are stored, without decoding them."""

from collections.abc import AsyncIterator

import grpc

from moorage.registry.v1 import watch_service_pb2 as pb
from moorage_common.rpc.server import RpcServer, ServicerContext
from moorage_registry.convert.events import KIND, encode_bookmark, encode_current, with_revision
from moorage_registry.core.records import Kind
from moorage_registry.store import events
from moorage_registry.store.database import Database
from moorage_registry.store.everything import read_all
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
        await self._tail.wait_ready()
        after = request.after_revision or self._tail.revision
        if request.initial_state:
            # Read to the end before any of it is sent: a slow watcher must not keep a connection.
            after, current = await self._current(kinds)
            for resource in current:
                yield resource
            yield encode_bookmark(after)
        async for batch in self._tail.follow(after):
            for event in batch:
                if event.kind in kinds:
                    yield with_revision(event.event, event.revision)

    async def _current(self, kinds: frozenset[Kind]) -> tuple[int, list[bytes]]:
        async with self._database.read(snapshot=True) as connection:
            revision = (await events.bounds(connection)).revision
            found = [await read_all(connection, kind) for kind in Kind if kind in kinds]
        return revision, [encode_current(resource) for resources in found for resource in resources]


def add_watch_service(server: RpcServer, servicer: WatchServicer) -> None:
    """Adds the service to a server, with responses that are encoded already."""
    handler: grpc.RpcMethodHandler[pb.WatchRequest, bytes] = grpc.unary_stream_rpc_method_handler(
        servicer.Watch, request_deserializer=pb.WatchRequest.FromString
    )
    server.add_handlers("moorage.registry.v1.WatchService", {"Watch": handler})
