"""ArtifactService: what people and agents ask of artifacts and their copies."""

from collections.abc import Sequence

from moorage.registry.v1 import artifact_service_pb2 as pb
from moorage.registry.v1 import artifact_service_pb2_grpc
from moorage_common.core.names import parse_artifact, parse_artifact_copy
from moorage_common.rpc.enums import COPY_STATE
from moorage_common.rpc.server import ServicerContext
from moorage_common.rpc.status import from_status
from moorage_registry.convert.artifacts import artifact_to_proto, copy_to_proto
from moorage_registry.convert.json import optional_error
from moorage_registry.core.records import ArtifactCopy
from moorage_registry.gathering import Gathering
from moorage_registry.servicers.downloads import DownloadRecords
from moorage_registry.servicers.pulls import DownloaderTasks
from moorage_registry.store import copy_reports, listing, schema
from moorage_registry.store.copy_reports import CopyReport
from moorage_registry.store.database import Database
from moorage_registry.store.lists import ARTIFACT_LIST, COPY_LIST
from moorage_registry.store.tables import ARTIFACTS, COPIES

_ALL = "artifacts/-"
_REPORTS = 200
"""Reports that are taken in one transaction at most."""


class ArtifactServicer(DownloaderTasks, DownloadRecords, artifact_service_pb2_grpc.ArtifactServiceServicer):
    """Artifacts and their copies on workers."""

    def __init__(self, database: Database) -> None:
        """Takes the store."""
        self._database = database
        self._reports = Gathering(self._take, most=_REPORTS)

    async def GetArtifact(
        self, request: pb.GetArtifactRequest, context: ServicerContext
    ) -> pb.GetArtifactResponse:
        artifact_id = parse_artifact(request.name)
        async with self._database.read() as connection:
            artifact = await listing.get(connection, ARTIFACTS, request.name, artifact_id)
        return pb.GetArtifactResponse(artifact=artifact_to_proto(artifact))

    async def ListArtifacts(
        self, request: pb.ListArtifactsRequest, context: ServicerContext
    ) -> pb.ListArtifactsResponse:
        async with self._database.read() as connection:
            found, token = await listing.page(connection, ARTIFACT_LIST, request, query="artifacts")
        return pb.ListArtifactsResponse(artifacts=map(artifact_to_proto, found), next_page_token=token)

    async def GetArtifactCopy(
        self, request: pb.GetArtifactCopyRequest, context: ServicerContext
    ) -> pb.GetArtifactCopyResponse:
        key = parse_artifact_copy(request.name)
        async with self._database.read() as connection:
            copy = await listing.get(connection, COPIES, request.name, *key)
        return pb.GetArtifactCopyResponse(copy=copy_to_proto(copy))

    async def ListArtifactCopies(
        self, request: pb.ListArtifactCopiesRequest, context: ServicerContext
    ) -> pb.ListArtifactCopiesResponse:
        everything = request.parent == _ALL
        table = schema.artifact_copies
        where = [] if everything else [table.c.artifact_id == parse_artifact(request.parent, field="parent")]
        async with self._database.read() as connection:
            found, token = await listing.page(
                connection, COPY_LIST, request, query=f"{request.parent}/copies", where=where
            )
        return pb.ListArtifactCopiesResponse(copies=map(copy_to_proto, found), next_page_token=token)

    async def ReportArtifactCopy(
        self, request: pb.ReportArtifactCopyRequest, context: ServicerContext
    ) -> pb.ReportArtifactCopyResponse:
        artifact_id, worker_id = parse_artifact_copy(request.name)
        report = CopyReport(
            artifact_id=artifact_id,
            worker_id=worker_id,
            lease_id=request.lease_id,
            state=COPY_STATE.from_proto(request.state),
            done_bytes=request.done_bytes,
            bytes_per_second=request.bytes_per_second,
            error=optional_error(request),
            error_reason=from_status(request.error).reason if request.HasField("error") else "",
        )
        return pb.ReportArtifactCopyResponse(copy=copy_to_proto(await self._reports.ask(report)))

    async def _take(self, reports: Sequence[CopyReport]) -> list[ArtifactCopy]:
        return await self._database.transact(lambda tx: copy_reports.take(tx, reports))
