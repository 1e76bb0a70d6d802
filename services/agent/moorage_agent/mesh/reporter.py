"""Sends what is in the outbox to the registry."""

import asyncio

from moorage_agent.core.outbox import Outbox, Report
from moorage_agent.core.reports import InstanceReport
from moorage_agent.mesh import convert
from moorage_agent.mesh.link import RegistryLink
from moorage_common.core.clock import Clock
from moorage_common.core.errors import ErrorReason, FailedPrecondition, MoorageError, NotFound
from moorage_common.core.names import worker_name
from moorage_common.rpc.clients import RegistryClient
from moorage_common.runtime.logs import get_logger

log = get_logger(__name__)

_DEADLINE_S = 10.0
_PARALLEL = 8


class Reporter:
    """Reports on the node's instances and copies."""

    def __init__(
        self,
        registry: RegistryClient,
        link: RegistryLink,
        outbox: Outbox,
        *,
        worker_id: str,
        wake: asyncio.Event,
        clock: Clock,
    ) -> None:
        """Takes what it works with; ``wake`` is set by whatever may have changed the outbox or the lease."""
        self._registry = registry
        self._link = link
        self._outbox = outbox
        self._worker_id = worker_id
        self._clock = clock
        self._wake = wake
        self._slots = asyncio.Semaphore(_PARALLEL)

    async def run(self) -> None:
        """Reports for ever."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._wake.clear()
                lease_id = self._link.lease_id
                if lease_id is not None:
                    for report in self._outbox.due(now=self._clock.monotonic()):
                        group.create_task(self._send(report, lease_id))
                await self._wait(connected=lease_id is not None)

    async def _wait(self, *, connected: bool) -> None:
        now = self._clock.monotonic()
        due = self._outbox.next_due(now=now) if connected else None
        try:
            async with asyncio.timeout(None if due is None else max(0.0, due - now)):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _send(self, report: Report, lease_id: str) -> None:
        try:
            async with self._slots:
                if lease_id != self._link.lease_id:
                    # What was said before it in the queue has shown that nobody would believe it.
                    self._outbox.failed(report, now=self._clock.monotonic())
                    return
                await self._call(report, lease_id)
        except (NotFound, FailedPrecondition) as error:
            # The registry sees it otherwise; its next desired state says how.
            log.info("report refused", report=str(report), error=error.message)
            self._outbox.taken(report, now=self._clock.monotonic())
        except MoorageError as error:
            if error.reason is ErrorReason.LEASE_STALE:
                self._link.lease_is_stale(lease_id)
            log.info("report not taken", error=error.message)
            self._outbox.failed(report, now=self._clock.monotonic())
        except Exception:
            log.exception("reporting broke", report=str(report))
            self._outbox.failed(report, now=self._clock.monotonic())
        else:
            self._outbox.taken(report, now=self._clock.monotonic())
        self._wake.set()

    async def _call(self, report: Report, lease_id: str) -> None:
        if isinstance(report, InstanceReport):
            await self._registry.instances.ReportInstance(
                convert.instance_report(report, worker=worker_name(self._worker_id), lease_id=lease_id),
                timeout=_DEADLINE_S,
            )
        else:
            await self._registry.artifacts.ReportArtifactCopy(
                convert.copy_report(report, worker_id=self._worker_id, lease_id=lease_id),
                timeout=_DEADLINE_S,
            )
