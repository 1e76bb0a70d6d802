"""WatchService: sends events as they are stored, without decoding them."""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing, contextmanager

import grpc

from moorage.registry.v1 import watch_service_pb2 as pb
from moorage_common.core.errors import ResourceExhausted
from moorage_common.rpc.context import note_resume
from moorage_common.rpc.server import RpcServer, ServicerContext
from moorage_registry.convert.events import KIND, encode_batch, encode_bookmark, encode_current
from moorage_registry.core.changes import name_of
from moorage_registry.store import events
from moorage_registry.store.database import Database
from moorage_registry.store.everything import read_all
from moorage_registry.watch.selection import Selection
from moorage_registry.watch.tail import EventTail

_RETRY_AFTER_S = 5.0
_PIECE = 1000
"""Resources of an initial state that are given away together."""
_BATCH_BYTES = 1 << 20
"""Of events in one response, but for a single one that is larger."""


class WatchServicer:
    """Every change of every resource."""

    def __init__(self, database: Database, tail: EventTail, *, max_watchers: int) -> None:
        """Takes the store, for initial states, the tail, for what comes after, and how many may watch at once."""
        self._database = database
        self._tail = tail
        self._max_watchers = max_watchers
        self._watchers = 0

    async def Watch(self, request: pb.WatchRequest, context: ServicerContext) -> AsyncIterator[bytes]:
        """Yields encoded WatchResponses."""
        async with aclosing(self._batches(request)) as batches:
            async for batch in batches:
                for message in packed(batch, request.max_batch):
                    yield message

    async def _batches(self, request: pb.WatchRequest) -> AsyncGenerator[list[bytes], None]:
        """Yields encoded events, as many as there are at once."""
        selection = Selection([KIND.from_proto(kind) for kind in request.kinds], request.names)
        with self._place():
            await self._tail.wait_ready()
            after = request.after_revision or self._tail.revision
            if request.initial_state:
                # Read to the end before any of it is sent: a slow watcher must not keep a connection.
                after, current = await self._current(selection)
                # Given away piece by piece: none is held that was sent.
                current.reverse()
                while current:
                    yield [current.pop() for _ in range(min(_PIECE, len(current)))]
                yield [encode_bookmark(after)]
            async for batch in self._changes(request, selection, after):
                yield batch

    async def _changes(
        self, request: pb.WatchRequest, selection: Selection, after: int
    ) -> AsyncIterator[list[bytes]]:
        note_resume("resume_after_revision", str(after))
        quiet = request.progress_interval
        quiet_s = quiet.ToTimedelta().total_seconds() if request.HasField("progress_interval") else None
        sent_at = time.monotonic()
        async for advance in self._tail.follow(after, quiet_s=quiet_s):
            chosen = [event.message for event in advance.events if selection.has(event.kind, event.name)]
            if not chosen and quiet_s is not None and time.monotonic() - sent_at >= quiet_s:
                chosen = [encode_bookmark(advance.revision)]
            if chosen:
                yield chosen
                sent_at = time.monotonic()
            note_resume("resume_after_revision", str(advance.revision))

    async def _current(self, selection: Selection) -> tuple[int, list[bytes]]:
        encoded: list[bytes] = []
        async with self._database.read(snapshot=True) as connection:
            revision = (await events.bounds(connection)).revision
            for kind in selection.kinds:
                async for resources in read_all(connection, kind):
                    encoded += [encode_current(r) for r in resources if selection.has(kind, name_of(r))]
        return revision, encoded

    @contextmanager
    def _place(self) -> Iterator[None]:
        if self._watchers >= self._max_watchers:
            raise ResourceExhausted(
                f"{self._watchers} watch already, as many as this server takes",
                remedy="Watch again later, or at another replica.",
                retry_after_s=_RETRY_AFTER_S,
            )
        self._watchers += 1
        try:
            yield
        finally:
            self._watchers -= 1


def packed(batch: Sequence[bytes], most: int) -> Iterator[bytes]:
    """Yields events in responses of so many at most; 0: each as a response of its own."""
    if not most:
        yield from batch
        return
    piece: list[bytes] = []
    size = 0
    for message in batch:
        if piece and (len(piece) == most or size + len(message) > _BATCH_BYTES):
            yield encode_batch(piece)
            piece, size = [], 0
        piece.append(message)
        size += len(message)
    if piece:
        yield encode_batch(piece)


def add_watch_service(server: RpcServer, servicer: WatchServicer) -> None:
    """Adds the service to a server, with responses that are encoded already."""
    handler: grpc.RpcMethodHandler[pb.WatchRequest, bytes] = grpc.unary_stream_rpc_method_handler(
        servicer.Watch, request_deserializer=pb.WatchRequest.FromString
    )
    server.add_handlers("moorage.registry.v1.WatchService", {"Watch": handler})
