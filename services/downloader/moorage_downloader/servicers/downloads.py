"""DownloadService: artifacts wanted on workers, and what sources hold. The registry keeps the records."""

from collections.abc import AsyncGenerator

from moorage.downloader.v1 import download_service_pb2 as pb
from moorage.downloader.v1 import download_service_pb2_grpc
from moorage.registry.v1 import artifact_pb2
from moorage.registry.v1 import artifact_service_pb2 as registry_pb
from moorage.registry.v1.artifact_service_pb2_grpc import ArtifactServiceStub
from moorage_common.rpc.context import remaining_s
from moorage_common.rpc.informer import Informer
from moorage_common.rpc.server import ServicerContext
from moorage_downloader.convert import resolution_to_proto
from moorage_downloader.core.source_ref import parse_source
from moorage_downloader.resolver import Resolver
from moorage_downloader.view import OVER, download_view

_INSPECTION_S = 60.0
"""Seconds for an inspection whose caller set no deadline."""
_ANSWER_S = 0.5
"""Seconds before the caller's deadline at which an inspection gives up, so that the caller hears why."""


class DownloadServicer(download_service_pb2_grpc.DownloadServiceServicer):
    """Front of the registry's download records."""

    def __init__(self, *, registry: ArtifactServiceStub, informer: Informer, resolver: Resolver) -> None:
        """Takes where records are, a cache of them, and who looks at sources."""
        self._registry = registry
        self._informer = informer
        self._resolver = resolver

    async def InspectSource(
        self, request: pb.InspectSourceRequest, context: ServicerContext
    ) -> pb.InspectSourceResponse:
        time_left = min(_INSPECTION_S, remaining_s() or _INSPECTION_S) - _ANSWER_S
        resolution = await self._resolver.resolve(request.source, timeout_s=max(time_left, 0.1))
        recorded = await self._registry.RecordArtifact(
            registry_pb.RecordArtifactRequest(artifact=resolution_to_proto(resolution))
        )
        return pb.InspectSourceResponse(artifact=recorded.artifact)

    async def CreateDownload(
        self, request: pb.CreateDownloadRequest, context: ServicerContext
    ) -> pb.CreateDownloadResponse:
        parse_source(request.download.source)
        wanted = artifact_pb2.DownloadRecord(source=request.download.source, workers=request.download.workers)
        created = await self._registry.CreateDownloadRecord(
            registry_pb.CreateDownloadRecordRequest(
                download=wanted, request_id=request.request_id, validate_only=request.validate_only
            )
        )
        return pb.CreateDownloadResponse(download=self._view(created.download))

    async def GetDownload(
        self, request: pb.GetDownloadRequest, context: ServicerContext
    ) -> pb.GetDownloadResponse:
        return pb.GetDownloadResponse(download=self._view(await self._record(request.name)))

    async def ListDownloads(
        self, request: pb.ListDownloadsRequest, context: ServicerContext
    ) -> pb.ListDownloadsResponse:
        page = await self._registry.ListDownloadRecords(
            registry_pb.ListDownloadRecordsRequest(
                page_size=request.page_size,
                page_token=request.page_token,
                filter=request.filter,
                order_by=request.order_by,
            )
        )
        return pb.ListDownloadsResponse(
            downloads=[self._view(record) for record in page.downloads], next_page_token=page.next_page_token
        )

    async def WatchDownload(
        self, request: pb.WatchDownloadRequest, context: ServicerContext
    ) -> AsyncGenerator[pb.WatchDownloadResponse, None]:
        record, shown = await self._record(request.name), pb.Download()
        while True:
            snapshot = self._informer.snapshot()
            cached = snapshot.downloads.get(request.name)
            if cached is None or cached.version < record.version:
                # The cache has not heard yet of what was just created, or it is gone: the registry knows.
                await self._informer.changed(since=snapshot.generation)
                record = await self._record(request.name)
                continue
            view = download_view(cached, snapshot)
            if view != shown and snapshot.revision > request.after_sequence:
                yield pb.WatchDownloadResponse(sequence=snapshot.revision, download=view)
                shown = view
            if cached.state in OVER:
                return
            await self._informer.changed(since=snapshot.generation)

    async def CancelDownload(
        self, request: pb.CancelDownloadRequest, context: ServicerContext
    ) -> pb.CancelDownloadResponse:
        cancelled = await self._registry.CancelDownloadRecord(
            registry_pb.CancelDownloadRecordRequest(
                name=request.name, request_id=request.request_id, validate_only=request.validate_only
            )
        )
        return pb.CancelDownloadResponse(download=self._view(cancelled.download))

    async def _record(self, name: str) -> artifact_pb2.DownloadRecord:
        response = await self._registry.GetDownloadRecord(registry_pb.GetDownloadRecordRequest(name=name))
        return response.download

    def _view(self, record: artifact_pb2.DownloadRecord) -> pb.Download:
        return download_view(record, self._informer.snapshot())
