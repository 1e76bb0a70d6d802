"""Resolves the sources that wait for it, under leases of the registry."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from random import Random

from google.protobuf.duration_pb2 import Duration

from moorage.registry.v1 import artifact_pb2, model_pb2
from moorage.registry.v1 import artifact_service_pb2 as pb
from moorage.registry.v1.artifact_service_pb2_grpc import ArtifactServiceStub
from moorage_common.core.backoff import BackoffPolicy
from moorage_common.core.errors import Aborted, Internal, InvalidArgument, MoorageError
from moorage_common.rpc.cache import CacheSnapshot
from moorage_common.rpc.informer import Informer
from moorage_common.rpc.status import to_status
from moorage_common.runtime.logs import get_logger
from moorage_common.runtime.tasks import TaskSupervisor
from moorage_downloader.convert import resolution_to_proto
from moorage_downloader.core.pull_state import is_transient
from moorage_downloader.loops.changes import Changes
from moorage_downloader.loops.reports import report_until_heard
from moorage_downloader.resolver import Resolver

log = get_logger(__name__)

_AGAIN = BackoffPolicy(first_s=1.0, cap_s=60.0)
"""Between tries of one source."""
_SHARE_OF_LEASE = 0.9
"""How much of a lease's life a resolution may take: the rest is for reporting it."""


class ResolutionLoop:
    """Leases resolutions and works on several at once.

    Args:
        registry: Who leases them.
        informer: Shows when there may be some.
        resolver: Who does the work.
        tasks: Where the work goes on.
        holder: Names this downloader, also after a restart.
        at_once: How many at the same time.
        poll_interval_s: Seconds after which the registry is asked anyhow.
        random: For the back-off's jitter.
    """

    def __init__(
        self,
        *,
        registry: ArtifactServiceStub,
        informer: Informer,
        resolver: Resolver,
        tasks: TaskSupervisor,
        holder: str,
        at_once: int,
        poll_interval_s: float,
        random: Random,
    ) -> None:
        self._registry = registry
        self._informer = informer
        self._resolver = resolver
        self._tasks = tasks
        self._holder = holder
        self._at_once = at_once
        self._random = random
        self._changes = Changes(informer, poll_interval_s=poll_interval_s)
        self._held: set[str] = set()

    async def run(self) -> None:
        """Works until cancelled."""
        hinted = False
        while True:
            # Nothing to be seen in the cache does not mean that there is nothing: now and then it is asked for.
            if len(self._held) < self._at_once and (not hinted or _some_wait(self._informer.snapshot())):
                await self._lease()
            hinted = await self._changes.wait()

    async def _lease(self) -> None:
        try:
            response = await self._registry.LeaseResolutions(
                pb.LeaseResolutionsRequest(
                    holder=self._holder,
                    max_results=self._at_once - len(self._held),
                    held_lease_ids=sorted(self._held),
                )
            )
        except MoorageError as error:
            log.info("cannot ask for sources to resolve", error=error.message)
            await asyncio.sleep(_AGAIN.delay_s(1, self._random))
            return
        for lease in response.leases:
            self._held.add(lease.lease_id)
            self._tasks.start(f"resolve {lease.lease_id}", self._worker(lease), restart=False)

    def _worker(self, lease: pb.ResolutionLease) -> Callable[[], Awaitable[None]]:
        async def work() -> None:
            try:
                await self._report(await self._resolve(lease))
            except Aborted as error:
                log.info("somebody else resolves it", source=lease.source, error=error.message)
            finally:
                self._held.discard(lease.lease_id)
                self._changes.ask()

        return work

    async def _report(self, report: pb.ReportResolutionRequest) -> None:
        try:
            await report_until_heard(lambda: self._registry.ReportResolution(report), self._random)
        except InvalidArgument as error:
            # An artifact that the registry does not take must not be resolved again and again.
            log.warning("the registry refuses the artifact", error=error.message)
            refused = pb.ReportResolutionRequest(lease_id=report.lease_id, failure=to_status(error))
            await report_until_heard(lambda: self._registry.ReportResolution(refused), self._random)

    async def _resolve(self, lease: pb.ResolutionLease) -> pb.ReportResolutionRequest:
        timeout_s = lease.ttl.ToTimedelta().total_seconds() * _SHARE_OF_LEASE
        try:
            resolution = await self._resolver.resolve(lease.source, timeout_s=timeout_s)
        except MoorageError as error:
            log.info(
                "source not resolved", source=lease.source, error=error.message, reason=error.reason.value
            )
            return self._failed(lease, error)
        except Exception:
            log.exception("resolving crashed", source=lease.source)
            return self._failed(lease, Internal("resolving the source failed by a defect of the downloader"))
        log.info("source resolved", source=lease.source, artifact=resolution.artifact.id)
        return pb.ReportResolutionRequest(lease_id=lease.lease_id, artifact=resolution_to_proto(resolution))

    def _failed(self, lease: pb.ResolutionLease, error: MoorageError) -> pb.ReportResolutionRequest:
        status = to_status(error)
        if not is_transient(error):
            return pb.ReportResolutionRequest(lease_id=lease.lease_id, failure=status)
        delay = Duration()
        wait_s = _AGAIN.delay_s(lease.failed_attempts + 1, self._random)
        delay.FromTimedelta(timedelta(seconds=max(wait_s, error.retry_after_s or 0.0)))
        return pb.ReportResolutionRequest(lease_id=lease.lease_id, transient_error=status, retry_delay=delay)


def _some_wait(snapshot: CacheSnapshot) -> bool:
    return any(
        model.resolution.state == model_pb2.RESOLUTION_STATE_RESOLVING for model in snapshot.models.values()
    ) or any(
        download.state == artifact_pb2.DOWNLOAD_STATE_RESOLVING for download in snapshot.downloads.values()
    )
