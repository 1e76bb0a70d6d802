"""Pulls the artifacts that wait for it, under leases of the registry."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random

from moorage.registry.v1 import artifact_pb2
from moorage.registry.v1 import artifact_service_pb2 as pb
from moorage.registry.v1.artifact_service_pb2_grpc import ArtifactServiceStub
from moorage_common.core.backoff import BackoffPolicy
from moorage_common.core.errors import Aborted, Internal, MoorageError
from moorage_common.core.names import parse_artifact
from moorage_common.rpc.informer import Informer
from moorage_common.rpc.status import to_status
from moorage_common.runtime.logs import get_logger
from moorage_common.runtime.tasks import TaskSupervisor
from moorage_downloader.convert import artifact_from_proto, file_to_proto
from moorage_downloader.core.artifact import ArtifactFile
from moorage_downloader.core.pull_meter import PullMeter
from moorage_downloader.loops.changes import Changes
from moorage_downloader.loops.reports import report_until_heard
from moorage_downloader.puller import Puller

log = get_logger(__name__)

_RENEW_S = 0.5
"""Seconds between reports of progress: twice a second is as often as anybody looks."""
_QUIET_RENEWALS = 6
"""When nothing has changed, only each so many-th report is made: enough to keep the lease."""
_AFTER_ERROR = BackoffPolicy(first_s=1.0, cap_s=5.0)


@dataclass(slots=True)
class _Lease:
    """A pull that is going on. The registry may hand out a new lease for it while the work stays the same."""

    lease_id: str
    artifact: artifact_pb2.Artifact


class PullLoop:
    """Leases pulls and works on several at once.

    Args:
        registry: Who leases them.
        informer: Shows when there may be some.
        puller: Who does the work.
        tasks: Where the work goes on.
        holder: Names this downloader, also after a restart.
        address: Where workers can read what arrives.
        at_once: How many at the same time.
        poll_interval_s: Seconds after which the registry is asked anyhow.
        random: For the back-off's jitter.
    """

    def __init__(
        self,
        *,
        registry: ArtifactServiceStub,
        informer: Informer,
        puller: Puller,
        tasks: TaskSupervisor,
        holder: str,
        address: str,
        at_once: int,
        poll_interval_s: float,
        random: Random,
    ) -> None:
        self._registry = registry
        self._informer = informer
        self._puller = puller
        self._tasks = tasks
        self._holder = holder
        self._address = address
        self._at_once = at_once
        self._random = random
        self._changes = Changes(informer, poll_interval_s=poll_interval_s)
        self._leases: dict[str, _Lease] = {}

    async def run(self) -> None:
        """Works until cancelled."""
        hinted = False
        while True:
            if len(self._leases) < self._at_once and (not hinted or self._some_wait()):
                await self._lease()
            hinted = await self._changes.wait()

    def _some_wait(self) -> bool:
        artifacts = self._informer.snapshot().artifacts.values()
        return any(artifact.pull.state == artifact_pb2.PULL_STATE_QUEUED for artifact in artifacts)

    async def _lease(self) -> None:
        try:
            response = await self._registry.LeasePulls(
                pb.LeasePullsRequest(
                    holder=self._holder,
                    address=self._address,
                    max_results=self._at_once - len(self._leases),
                    held_lease_ids=sorted(lease.lease_id for lease in self._leases.values()),
                )
            )
        except MoorageError as error:
            log.info("cannot ask for artifacts to pull", error=error.message)
            await asyncio.sleep(_AFTER_ERROR.delay_s(1, self._random))
            return
        for lease in response.leases:
            self._take_up(lease)

    def _take_up(self, granted: pb.PullLease) -> None:
        name = granted.artifact.name
        if known := self._leases.get(name):
            # Renewals did not get through for a while: the work that goes on is under the new lease now.
            known.lease_id = granted.lease_id
            return
        lease = self._leases[name] = _Lease(granted.lease_id, granted.artifact)
        self._tasks.start(f"pull {name} {granted.lease_id}", self._worker(lease), restart=False)

    def _worker(self, lease: _Lease) -> Callable[[], Awaitable[None]]:
        async def work() -> None:
            try:
                await self._pull(lease)
            except Aborted as error:
                log.info("pull stopped", artifact=lease.artifact.name, error=error.message)
            finally:
                del self._leases[lease.artifact.name]
                self._changes.ask()

        return work

    async def _pull(self, lease: _Lease) -> None:
        artifact = artifact_from_proto(lease.artifact)
        meter = self._puller.meter(artifact)
        artifact_id = parse_artifact(lease.artifact.name)
        log.info(
            "pull begins",
            artifact=lease.artifact.name,
            source=artifact.source,
            size_bytes=artifact.size_bytes,
        )
        pulling = asyncio.create_task(self._puller.pull(artifact_id, artifact, meter))
        try:
            await self._renew_until(pulling, lease, meter)
            outcome = self._outcome(pulling, lease)
        finally:
            pulling.cancel()
            await asyncio.wait({pulling})
        await report_until_heard(lambda: self._report(lease, outcome), self._random)

    async def _renew_until(
        self, pulling: asyncio.Task[tuple[ArtifactFile, ...]], lease: _Lease, meter: PullMeter
    ) -> None:
        """Keeps the lease alive and tells of progress; raises `Aborted` when the lease is gone."""
        told, quiet = pb.RenewPullRequest(), 0
        while not pulling.done():
            await asyncio.wait({pulling}, timeout=_RENEW_S)
            request = _progress(lease, meter)
            quiet += 1
            if pulling.done() or (request == told and quiet < _QUIET_RENEWALS):
                continue
            try:
                await self._registry.RenewPull(request, timeout=2.0)
                told, quiet = request, 0
            except Aborted:
                raise
            except MoorageError as error:
                log.info("progress not heard", artifact=lease.artifact.name, error=error.message)

    def _outcome(
        self, pulling: asyncio.Task[tuple[ArtifactFile, ...]], lease: _Lease
    ) -> pb.ReportPullRequest:
        name = lease.artifact.name
        try:
            files = pulling.result()
        except MoorageError as error:
            log.warning("pull failed", artifact=name, error=error.message, reason=error.reason.value)
            return pb.ReportPullRequest(failure=to_status(error))
        except Exception:
            log.exception("pull crashed", artifact=name)
            return pb.ReportPullRequest(
                failure=to_status(Internal("the pull failed by a defect of the downloader"))
            )
        log.info("pull complete", artifact=name)
        return pb.ReportPullRequest(pulled=pb.PulledFiles(files=[file_to_proto(file) for file in files]))

    async def _report(self, lease: _Lease, outcome: pb.ReportPullRequest) -> None:
        # The lease's id of now: a new one may have been handed out while the report did not get through.
        outcome.lease_id = lease.lease_id
        await self._registry.ReportPull(outcome)


def _progress(lease: _Lease, meter: PullMeter) -> pb.RenewPullRequest:
    progress = meter.progress()
    return pb.RenewPullRequest(
        lease_id=lease.lease_id,
        done_bytes=progress.done_bytes,
        bytes_per_second=progress.bytes_per_second,
        error=to_status(meter.error) if meter.error else None,
    )
