"""ArtifactService: what downloaders do under leases."""

from datetime import timedelta

from google.protobuf.duration_pb2 import Duration

from moorage.registry.v1 import artifact_pb2
from moorage.registry.v1 import artifact_service_pb2 as pb
from moorage_common.core.errors import FieldViolation, InvalidArgument
from moorage_common.rpc.server import ServicerContext
from moorage_registry.convert.artifacts import artifact_from_proto, artifact_to_proto
from moorage_registry.convert.json import error_to_json, optional_error, to_json
from moorage_registry.store import pulls, resolutions
from moorage_registry.store.database import Database, Transaction

PULL_LEASE_TTL = timedelta(seconds=15)
"""How long a downloader may be silent about a pull before another one takes it over."""
RESOLUTION_LEASE_TTL = timedelta(seconds=120)
"""How long a downloader has for a resolution: a hub may be slow, and this lease is not renewed."""

_MAX_SIZE_BYTES = (1 << 63) - 1


class DownloaderTasks:
    """Sources to resolve, and artifacts to pull."""

    _database: Database

    async def LeaseResolutions(
        self, request: pb.LeaseResolutionsRequest, context: ServicerContext
    ) -> pb.LeaseResolutionsResponse:
        async def work(tx: Transaction) -> pb.LeaseResolutionsResponse:
            leased = await resolutions.lease(
                tx,
                holder=request.holder,
                held=request.held_lease_ids,
                limit=request.max_results,
                ttl=RESOLUTION_LEASE_TTL,
            )
            leases = [
                pb.ResolutionLease(
                    lease_id=resolution.lease_id or "",
                    source=resolution.source,
                    failed_attempts=resolution.failed_attempts,
                    ttl=_duration(RESOLUTION_LEASE_TTL),
                )
                for resolution in leased
            ]
            return pb.LeaseResolutionsResponse(leases=leases)

        return await self._database.transact(work)

    async def ReportResolution(
        self, request: pb.ReportResolutionRequest, context: ServicerContext
    ) -> pb.ReportResolutionResponse:
        async def work(tx: Transaction) -> None:
            match request.WhichOneof("outcome"):
                case "artifact":
                    artifact = artifact_from_proto(request.artifact, now=tx.now)
                    await resolutions.resolve(tx, request.lease_id, artifact)
                case "failure":
                    error = error_to_json(request.failure, field="failure")
                    await resolutions.fail(tx, request.lease_id, error, retry_after=None)
                case _:
                    error = error_to_json(request.transient_error, field="transient_error")
                    retry_after = request.retry_delay.ToTimedelta()
                    await resolutions.fail(tx, request.lease_id, error, retry_after=retry_after)

        if request.HasField("artifact"):
            _check_artifact(request.artifact)
        await self._database.transact(work)
        return pb.ReportResolutionResponse()

    async def RecordArtifact(
        self, request: pb.RecordArtifactRequest, context: ServicerContext
    ) -> pb.RecordArtifactResponse:
        _check_artifact(request.artifact)

        async def work(tx: Transaction) -> pb.RecordArtifactResponse:
            wanted = artifact_from_proto(request.artifact, now=tx.now)
            stored = await resolutions.record_artifact(tx, wanted)
            return pb.RecordArtifactResponse(artifact=artifact_to_proto(stored))

        return await self._database.transact(work)

    async def LeasePulls(
        self, request: pb.LeasePullsRequest, context: ServicerContext
    ) -> pb.LeasePullsResponse:
        async def work(tx: Transaction) -> pb.LeasePullsResponse:
            leased = await pulls.lease(
                tx,
                holder=request.holder,
                address=request.address,
                held=request.held_lease_ids,
                limit=request.max_results,
                ttl=PULL_LEASE_TTL,
            )
            leases = [
                pb.PullLease(
                    lease_id=artifact.pull_lease_id or "",
                    artifact=artifact_to_proto(artifact),
                    ttl=_duration(PULL_LEASE_TTL),
                )
                for artifact in leased
            ]
            return pb.LeasePullsResponse(leases=leases)

        return await self._database.transact(work)

    async def RenewPull(self, request: pb.RenewPullRequest, context: ServicerContext) -> pb.RenewPullResponse:
        error = optional_error(request)

        async def work(tx: Transaction) -> None:
            await pulls.renew(
                tx,
                request.lease_id,
                done_bytes=request.done_bytes,
                bytes_per_second=request.bytes_per_second,
                error=error,
                ttl=PULL_LEASE_TTL,
            )

        await self._database.transact(work)
        return pb.RenewPullResponse(ttl=_duration(PULL_LEASE_TTL))

    async def ReportPull(
        self, request: pb.ReportPullRequest, context: ServicerContext
    ) -> pb.ReportPullResponse:
        async def work(tx: Transaction) -> None:
            if request.WhichOneof("outcome") == "pulled":
                files = [to_json(file) for file in request.pulled.files]
                await pulls.complete(tx, request.lease_id, files)
            else:
                await pulls.fail(tx, request.lease_id, error_to_json(request.failure, field="failure"))

        await self._database.transact(work)
        return pb.ReportPullResponse()


def _check_artifact(artifact: artifact_pb2.Artifact) -> None:
    paths = [file.path for file in artifact.files]
    violations = []
    if artifact.entry_point not in paths:
        violations.append(FieldViolation("artifact.entry_point", "is not among the artifact's files"))
    if len(set(paths)) < len(paths):
        violations.append(FieldViolation("artifact.files", "names the same path twice"))
    if sum(file.size_bytes for file in artifact.files) > _MAX_SIZE_BYTES:
        violations.append(FieldViolation("artifact.files", "their sizes add up to more than an int64 holds"))
    if violations:
        said = "; ".join(f"{violation.field} {violation.description}" for violation in violations)
        raise InvalidArgument(f"the artifact is wrong: {said}", violations=violations)


def _duration(value: timedelta) -> Duration:
    message = Duration()
    message.FromTimedelta(value)
    return message
