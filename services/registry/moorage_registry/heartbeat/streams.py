"""The heartbeat stream of one agent: leases and measurements up, what its node should hold and run down.

first heartbeat ─► lease checked, worker READY ─► desired state, whole
heartbeat ─► lease renewed (with those of the other agents), measurements stored, acknowledgement logged
something changed for the node ─► desired state, whole, if it differs from the last one sent
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

from moorage.registry.v1 import worker_service_pb2 as pb
from moorage_common.core.errors import FieldViolation, InvalidArgument
from moorage_common.core.ids import new_short_id
from moorage_common.core.names import parse_worker
from moorage_common.runtime.logs import get_logger
from moorage_registry.convert.assignments import assignments_to_proto
from moorage_registry.convert.json import timestamp, to_json
from moorage_registry.heartbeat.leases import LeaseRenewer
from moorage_registry.heartbeat.wakeups import NodeWakeups
from moorage_registry.store import assignments, workers
from moorage_registry.store.database import Database, Transaction

log = get_logger(__name__)

_COALESCE_S = 0.01
"""Changes of one node within this time are sent to its agent as one, in seconds."""


class HeartbeatStreams:
    """Serves the streams of all agents that are connected to this replica."""

    def __init__(
        self, database: Database, renewer: LeaseRenewer, wakeups: NodeWakeups, *, lease_ttl: timedelta
    ) -> None:
        """Takes the store, the renewer of leases, what tells of changes, and how long a lease lives."""
        self._database = database
        self._renewer = renewer
        self._wakeups = wakeups
        self._lease_ttl = lease_ttl

    async def serve(
        self, requests: AsyncIterator[pb.HeartbeatRequest]
    ) -> AsyncIterator[pb.HeartbeatResponse]:
        """Serves one stream until the agent ends it.

        Raises:
            Aborted: The lease was replaced or has lapsed (LEASE_STALE).
            InvalidArgument: The stream changed its worker or lease half-way.
        """
        first = await anext(requests, None)
        if first is None:
            return
        worker_id = parse_worker(first.worker, field="worker")
        expiry = await self._database.transact(
            lambda tx: workers.connect(tx, worker_id, first.lease_id, self._lease_ttl)
        )
        log.info("agent connected", worker=worker_id)
        await self._take(worker_id, first)
        with self._wakeups.subscribe(worker_id) as changed:
            node = _NodeStream(worker_id, first, expiry)
            changed.set()
            reader = asyncio.create_task(self._read(node, requests, changed))
            try:
                async for response in self._write(node, reader, changed):
                    yield response
            finally:
                reader.cancel()
                await asyncio.gather(reader, return_exceptions=True)
                log.info("agent disconnected", worker=worker_id)

    async def _read(
        self, node: "_NodeStream", requests: AsyncIterator[pb.HeartbeatRequest], changed: asyncio.Event
    ) -> None:
        async for request in requests:
            node.check(request)
            await self._take(node.worker_id, request)
            node.expiry = await self._renewer.renew(node.worker_id, request.lease_id)
            node.renewed = True
            changed.set()

    async def _write(
        self, node: "_NodeStream", reader: asyncio.Task[None], changed: asyncio.Event
    ) -> AsyncIterator[pb.HeartbeatResponse]:
        while True:
            waiter = asyncio.create_task(changed.wait())
            await asyncio.wait({waiter, reader}, return_when=asyncio.FIRST_COMPLETED)
            waiter.cancel()
            if reader.done():
                reader.result()
                return
            await asyncio.sleep(_COALESCE_S)
            changed.clear()
            async with self._database.read(snapshot=True) as connection:
                found = await assignments.read(connection, node.worker_id)
            response = node.respond(assignments_to_proto(found))
            if response is not None:
                yield response

    async def _take(self, worker_id: str, request: pb.HeartbeatRequest) -> None:
        if request.HasField("measurements"):
            await self._database.transact(lambda tx: _measure(tx, worker_id, request.measurements))
        if request.acknowledgement.HasField("error"):
            log.warning(
                "agent refused its desired state",
                worker=worker_id,
                nonce=request.acknowledgement.nonce,
                error=request.acknowledgement.error.message,
            )


class _NodeStream:
    """What one stream has sent and been told."""

    def __init__(self, worker_id: str, first: pb.HeartbeatRequest, expiry: datetime) -> None:
        self.worker_id = worker_id
        self.expiry = expiry
        self.renewed = True
        self._identity = (first.worker, first.lease_id)
        self._sent: bytes | None = None

    def check(self, request: pb.HeartbeatRequest) -> None:
        """Checks that a heartbeat is of the worker and lease that the stream began with."""
        if (request.worker, request.lease_id) != self._identity:
            violation = FieldViolation("lease_id", "differs from the stream's first heartbeat")
            raise InvalidArgument("a heartbeat stream is of one worker and lease", violations=[violation])

    def respond(self, desired: pb.DesiredNodeState) -> pb.HeartbeatResponse | None:
        """Returns what there is to say: a new desired state, or a renewed lease, or nothing."""
        encoded = desired.SerializeToString(deterministic=True)
        changed = encoded != self._sent
        if not changed and not self.renewed:
            return None
        self._sent, self.renewed = encoded, False
        desired.nonce = new_short_id()
        return pb.HeartbeatResponse(
            lease_expire_time=timestamp(self.expiry), desired_state=desired if changed else None
        )


async def _measure(tx: Transaction, worker_id: str, measured: pb.NodeMeasurements) -> None:
    storage = to_json(measured.storage) if measured.HasField("storage") else None
    await workers.measure(tx, worker_id, foreign=dict(measured.foreign_bytes), storage=storage)
