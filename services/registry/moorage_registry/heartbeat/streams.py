"""The heartbeat stream of one agent: leases and measurements up, what its node should hold and run down.

first heartbeat ─► lease checked, worker READY ─► desired state, whole
heartbeat ─► lease renewed and measurements stored (with those of the other agents), refusals logged
something changed for the node ─► desired state, whole, if it differs from the last one sent
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from hashlib import blake2b

from moorage.registry.v1 import worker_service_pb2 as pb
from moorage_common.core.errors import FieldViolation, InvalidArgument
from moorage_common.core.ids import new_short_id
from moorage_common.core.names import parse_worker
from moorage_common.runtime.logs import get_logger
from moorage_registry.convert.json import timestamp, to_json
from moorage_registry.heartbeat.batch import HeartbeatBatch
from moorage_registry.heartbeat.desired import DesiredStates
from moorage_registry.heartbeat.wakeups import NodeWakeups, Signal
from moorage_registry.store import workers
from moorage_registry.store.database import Database
from moorage_registry.store.performance import MeasuredInstance
from moorage_registry.store.workers import Measured

log = get_logger(__name__)

_COALESCE_S = 0.01
"""Changes of one node within this time are sent to its agent as one, in seconds."""


class HeartbeatStreams:
    """Serves the streams of all agents that are connected to this replica."""

    def __init__(
        self, database: Database, batch: HeartbeatBatch, wakeups: NodeWakeups, *, lease_ttl: timedelta
    ) -> None:
        """Takes the store, what writes heartbeats, what tells of changes, and how long a lease lives."""
        self._database = database
        self._batch = batch
        self._wakeups = wakeups
        self._desired = DesiredStates(database)
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
            lambda tx: workers.connect(
                tx, worker_id, first.lease_id, self._lease_ttl, _measured(worker_id, first)
            )
        )
        log.info("agent connected", worker=worker_id)
        _note_refusal(first)
        with self._wakeups.subscribe(worker_id) as signal:
            node = _NodeStream(worker_id, first, expiry)
            reader = asyncio.create_task(self._read(node, requests, signal))
            try:
                async for response in self._write(node, reader, signal):
                    yield response
            finally:
                reader.cancel()
                await asyncio.gather(reader, return_exceptions=True)
                log.info("agent disconnected", worker=worker_id)

    async def _read(
        self, node: "_NodeStream", requests: AsyncIterator[pb.HeartbeatRequest], signal: Signal
    ) -> None:
        async for request in requests:
            node.check(request)
            _note_refusal(request)
            node.expiry = await self._batch.take(
                node.worker_id, request.lease_id, _measured(node.worker_id, request)
            )
            node.renewed = True
            signal.wake()

    async def _write(
        self, node: "_NodeStream", reader: asyncio.Task[None], signal: Signal
    ) -> AsyncIterator[pb.HeartbeatResponse]:
        while True:
            waiter = asyncio.create_task(signal.wait())
            await asyncio.wait({waiter, reader}, return_when=asyncio.FIRST_COMPLETED)
            waiter.cancel()
            if reader.done():
                reader.result()
                return
            await asyncio.sleep(_COALESCE_S)
            desired = await self._desired.of(node.worker_id) if signal.take() else None
            response = node.respond(desired)
            if response is not None:
                yield response


class _NodeStream:
    """What one stream has sent and been told."""

    def __init__(self, worker_id: str, first: pb.HeartbeatRequest, expiry: datetime) -> None:
        self.worker_id = worker_id
        self.expiry = expiry
        self.renewed = True
        self._identity = (first.worker, first.lease_id)
        self._sent: bytes | None = None
        """The digest of the desired state that was sent last: a thousand nodes have many megabytes of them."""

    def check(self, request: pb.HeartbeatRequest) -> None:
        """Checks that a heartbeat is of the worker and lease that the stream began with."""
        if (request.worker, request.lease_id) != self._identity:
            violation = FieldViolation("lease_id", "differs from the stream's first heartbeat")
            raise InvalidArgument("a heartbeat stream is of one worker and lease", violations=[violation])

    def respond(self, desired: pb.DesiredNodeState | None) -> pb.HeartbeatResponse | None:
        """Returns what there is to say: a new desired state, or a renewed lease, or nothing."""
        digest = _digest(desired) if desired else self._sent
        changed = digest != self._sent
        if not changed and not self.renewed:
            return None
        self._sent, self.renewed = digest, False
        if desired is not None:
            desired.nonce = new_short_id()
        return pb.HeartbeatResponse(
            lease_expire_time=timestamp(self.expiry), desired_state=desired if changed else None
        )


def _digest(desired: pb.DesiredNodeState) -> bytes:
    return blake2b(desired.SerializeToString(deterministic=True), digest_size=16).digest()


def _measured(worker_id: str, request: pb.HeartbeatRequest) -> Measured:
    measured = request.measurements
    storage = to_json(measured.storage) if measured.HasField("storage") else None
    return Measured(
        foreign=dict(measured.foreign_bytes),
        storage=storage,
        instances={each.instance_uid: _measured_instance(worker_id, each) for each in measured.instances},
    )


def _measured_instance(worker_id: str, each: pb.InstanceMeasurement) -> MeasuredInstance:
    return MeasuredInstance(
        worker_id=worker_id,
        uid=each.instance_uid,
        generation=each.generation,
        performance=to_json(each.performance),
    )


def _note_refusal(request: pb.HeartbeatRequest) -> None:
    if request.acknowledgement.HasField("error"):
        log.warning(
            "agent refused its desired state",
            worker=request.worker,
            nonce=request.acknowledgement.nonce,
            error=request.acknowledgement.error.message,
        )
