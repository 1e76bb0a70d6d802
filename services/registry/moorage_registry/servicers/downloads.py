"""ArtifactService: the records behind downloads."""

from datetime import datetime

from moorage.registry.v1 import artifact_pb2
from moorage.registry.v1 import artifact_service_pb2 as pb
from moorage_common.core.ids import new_short_id, new_uid
from moorage_common.core.names import parse_download, parse_worker
from moorage_common.core.states import DownloadState
from moorage_common.rpc.server import ServicerContext
from moorage_registry.convert.artifacts import download_to_proto
from moorage_registry.core.records import Download
from moorage_registry.mutation import mutate
from moorage_registry.store import downloads, listing
from moorage_registry.store.database import Database, Transaction
from moorage_registry.store.lists import DOWNLOAD_LIST
from moorage_registry.store.tables import DOWNLOADS


class DownloadRecords:
    """Artifacts that somebody wants on chosen workers."""

    _database: Database

    async def CreateDownloadRecord(
        self, request: pb.CreateDownloadRecordRequest, context: ServicerContext
    ) -> pb.CreateDownloadRecordResponse:
        async def work(tx: Transaction) -> pb.CreateDownloadRecordResponse:
            download = await downloads.create(tx, _new(request.download, tx.now))
            return pb.CreateDownloadRecordResponse(download=download_to_proto(download))

        return await mutate(self._database, request, pb.CreateDownloadRecordResponse, work)

    async def GetDownloadRecord(
        self, request: pb.GetDownloadRecordRequest, context: ServicerContext
    ) -> pb.GetDownloadRecordResponse:
        download_id = parse_download(request.name)
        async with self._database.read() as connection:
            download = await listing.get(connection, DOWNLOADS, request.name, download_id)
        return pb.GetDownloadRecordResponse(download=download_to_proto(download))

    async def ListDownloadRecords(
        self, request: pb.ListDownloadRecordsRequest, context: ServicerContext
    ) -> pb.ListDownloadRecordsResponse:
        async with self._database.read() as connection:
            found, token = await listing.page(connection, DOWNLOAD_LIST, request, query="downloads")
        return pb.ListDownloadRecordsResponse(downloads=map(download_to_proto, found), next_page_token=token)

    async def CancelDownloadRecord(
        self, request: pb.CancelDownloadRecordRequest, context: ServicerContext
    ) -> pb.CancelDownloadRecordResponse:
        download_id = parse_download(request.name)

        async def work(tx: Transaction) -> pb.CancelDownloadRecordResponse:
            download = await downloads.cancel(tx, download_id)
            return pb.CancelDownloadRecordResponse(download=download_to_proto(download))

        return await mutate(self._database, request, pb.CancelDownloadRecordResponse, work)


def _new(download: artifact_pb2.DownloadRecord, now: datetime) -> Download:
    return Download(
        uid=new_uid(),
        created_at=now,
        updated_at=now,
        id=new_short_id(),
        source=download.source,
        workers=sorted(parse_worker(name, field="download.workers") for name in download.workers),
        state=DownloadState.RESOLVING,
    )
