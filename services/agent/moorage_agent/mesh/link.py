"""The agent's line to the registry: registered, and the heartbeat stream open, for as long as it runs.

    register ──lease──► heartbeat stream ──► desired states, acknowledged or refused
       ▲  ▲                  │   │
       │  └──lease is stale──┘   └─ broke: open it again, with the same lease, after a back-off
       └─ registry away: again, after a back-off

A registry that is away changes nothing on the node: what was desired last is still desired.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import NoReturn

from moorage.registry.v1 import worker_pb2
from moorage.registry.v1 import worker_service_pb2 as pb
from moorage_agent.core.domain import DesiredState
from moorage_agent.core.measure import Measurements, changes, merged
from moorage_agent.mesh import convert
from moorage_common.core.backoff import Backoff
from moorage_common.core.clock import Clock
from moorage_common.core.errors import Cancelled, DeadlineExceeded, ErrorReason, MoorageError, Unavailable
from moorage_common.rpc.channels import reading
from moorage_common.rpc.clients import RegistryClient
from moorage_common.rpc.status import to_status
from moorage_common.runtime.logs import get_logger

log = get_logger(__name__)

_PASSES = (Unavailable, DeadlineExceeded, Cancelled)
"""What may be over with the same lease, a moment later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """What the registry handed out."""

    id: str
    ttl_s: float
    interval_s: float
    """Between two heartbeats."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """What the link tells of the node, and whom it tells what the registry wants."""

    worker: str
    """``workers/{worker}``."""
    facts: Callable[[], worker_pb2.NodeFacts]
    measurements: Callable[[], Measurements]
    on_desired: Callable[[DesiredState], None]
    on_connected: Callable[[], None]
    """Called when the registry answers a new stream: everything is to be reported again."""


class RegistryLink:
    """Keeps one node registered."""

    def __init__(self, registry: RegistryClient, node: Node, *, backoff: Backoff, clock: Clock) -> None:
        self._registry = registry
        self._node = node
        self._backoff = backoff
        self._clock = clock
        self._lease: Lease | None = None
        self._heard_at = 0.0
        self._connected = False
        self._again = asyncio.Event()

    @property
    def lease_id(self) -> str | None:
        """The lease that goes with reports. None: there is nobody to report to just now."""
        return self._lease.id if self._lease is not None and self._connected else None

    @property
    def registered(self) -> bool:
        """Whether the lease is live."""
        lease = self._lease
        return lease is not None and self._clock.monotonic() - self._heard_at < lease.ttl_s

    def register_again(self) -> None:
        """Has the node registered again, because its facts changed."""
        self._again.set()

    def lease_is_stale(self, lease_id: str) -> None:
        """Notes that the registry refused a lease. Has the node registered again if it is still in use."""
        if lease_id == self.lease_id:
            self.register_again()

    async def register(self) -> None:
        """Registers the node, waiting for the registry if it is away.

        Raises:
            AlreadyExists: Another node is registered under the worker's name (WORKER_NAME_TAKEN).
            MoorageError: The registry does not take the node, and will not.
        """
        while True:
            # Before the facts are read: what changes them from here on asks for another time.
            self._again.clear()
            request = pb.RegisterWorkerRequest(name=self._node.worker, facts=self._node.facts())
            try:
                response = await self._registry.workers.RegisterWorker(request)
            except MoorageError as error:
                if not _may_pass(error):
                    raise
                await self._pause("the registry cannot be reached: waiting for it", error)
            else:
                self._registered(response)
                return

    async def run(self) -> None:
        """Keeps the stream open, for ever. The node must have been registered once."""
        while True:
            try:
                if self._lease is None:
                    await self.register()
                else:
                    await self._stay_connected(self._lease)
            except MoorageError as error:
                # The lease is stale, or the registry knows nothing of the worker.
                if not isinstance(error, _PASSES):
                    self._lease = None
                await self._pause("the line to the registry broke", error)

    async def _stay_connected(self, lease: Lease) -> None:
        stream = _Stream(self._node, lease)
        again = asyncio.create_task(self._again.wait())
        talking = asyncio.create_task(self._talk(stream, lease))
        try:
            await asyncio.wait({again, talking}, return_when=asyncio.FIRST_COMPLETED)
            if talking.done():
                talking.result()
            else:
                self._lease = None
        finally:
            self._connected = False
            for task in (again, talking):
                task.cancel()
            await asyncio.gather(again, talking, return_exceptions=True)

    async def _talk(self, stream: "_Stream", lease: Lease) -> NoReturn:
        try:
            async with (
                asyncio.timeout(lease.ttl_s) as silence,
                reading(self._registry.workers.Heartbeat(stream.requests())) as responses,
            ):
                async for response in responses:
                    # It answers every heartbeat; one that is silent for so long hangs.
                    silence.reschedule(asyncio.get_running_loop().time() + lease.ttl_s)
                    self._hear(response, stream)
        except TimeoutError:
            raise Unavailable("the registry fell silent") from None
        raise Unavailable("the registry ended the stream")

    def _hear(self, response: pb.HeartbeatResponse, stream: "_Stream") -> None:
        self._heard_at = self._clock.monotonic()
        self._backoff.reset()
        if not self._connected:
            self._connected = True
            self._node.on_connected()
        if response.HasField("desired_state"):
            stream.acknowledge(self._take_on(response.desired_state))

    def _take_on(self, message: pb.DesiredNodeState) -> pb.DesiredStateAcknowledgement:
        try:
            desired = convert.desired_state(message)
        except MoorageError as error:
            log.warning("refused a desired state", nonce=message.nonce, error=error.message)
            return pb.DesiredStateAcknowledgement(nonce=message.nonce, error=to_status(error))
        self._node.on_desired(desired)
        return pb.DesiredStateAcknowledgement(nonce=message.nonce)

    def _registered(self, response: pb.RegisterWorkerResponse) -> None:
        self._lease = Lease(
            id=response.lease_id,
            ttl_s=response.lease_ttl.ToTimedelta().total_seconds(),
            interval_s=response.heartbeat_interval.ToTimedelta().total_seconds(),
        )
        self._heard_at = self._clock.monotonic()
        self._backoff.reset()
        log.info("registered", worker=self._node.worker)

    async def _pause(self, what: str, error: MoorageError) -> None:
        delay_s = self._backoff.next_delay_s()
        log.warning(what, error=error.message, reason=error.reason.value, retry_in_s=round(delay_s, 2))
        await asyncio.sleep(delay_s)


class _Stream:
    """What goes up on one heartbeat stream."""

    def __init__(self, node: Node, lease: Lease) -> None:
        self._node = node
        self._lease = lease
        self._told: Measurements | None = None
        self._acknowledgement: pb.DesiredStateAcknowledgement | None = None
        self._wake = asyncio.Event()

    def acknowledge(self, acknowledgement: pb.DesiredStateAcknowledgement) -> None:
        """Sends an acknowledgement now; of two, the later one counts."""
        self._acknowledgement = acknowledgement
        self._wake.set()

    async def requests(self) -> AsyncIterator[pb.HeartbeatRequest]:
        """The heartbeats, for ever: at once, then at every interval, and with every acknowledgement."""
        while True:
            self._wake.clear()
            yield self._next()
            try:
                async with asyncio.timeout(self._lease.interval_s):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def _next(self) -> pb.HeartbeatRequest:
        changed = changes(self._told, self._node.measurements())
        self._told = merged(self._told, changed)
        acknowledgement, self._acknowledgement = self._acknowledgement, None
        return pb.HeartbeatRequest(
            worker=self._node.worker,
            lease_id=self._lease.id,
            measurements=None if changed.empty else convert.measurements(changed),
            acknowledgement=acknowledgement,
        )


def _may_pass(error: MoorageError) -> bool:
    """Whether to try registering again. What the registry says of the request itself stays true."""
    return error.reason not in {
        ErrorReason.WORKER_NAME_TAKEN,
        ErrorReason.INVALID_REQUEST,
        ErrorReason.PERMISSION_DENIED,
        ErrorReason.UNAUTHENTICATED,
        ErrorReason.METHOD_UNKNOWN,
    }
