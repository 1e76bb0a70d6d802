"""BlobService: content of artifacts, complete or still arriving."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from moorage.downloader.v1 import blob_service_pb2 as pb
from moorage.downloader.v1 import blob_service_pb2_grpc
from moorage_common.core.names import parse_artifact
from moorage_common.rpc.server import ServicerContext
from moorage_downloader.library import Library


class BlobServicer(blob_service_pb2_grpc.BlobServiceServicer):
    """Serves what the library finds."""

    def __init__(self, library: Library) -> None:
        """Takes the library."""
        self._library = library

    async def StatBlob(self, request: pb.StatBlobRequest, context: ServicerContext) -> pb.StatBlobResponse:
        blob = await self._library.find(parse_artifact(request.artifact, field="artifact"), request.path)
        return pb.StatBlobResponse(
            available_bytes=blob.available_bytes, size_bytes=blob.size_bytes, sha256=blob.sha256
        )

    async def ReadBlob(
        self, request: pb.ReadBlobRequest, context: ServicerContext
    ) -> AsyncGenerator[pb.ReadBlobResponse, None]:
        blob = await self._library.find(parse_artifact(request.artifact, field="artifact"), request.path)
        async with aclosing(blob.read(request.offset_bytes)) as blocks:
            async for block in blocks:
                yield pb.ReadBlobResponse(data=block)
        yield pb.ReadBlobResponse(sha256=blob.sha256)
