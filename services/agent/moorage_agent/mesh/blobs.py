"""Reads the bytes of artifacts from those who serve them."""

from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from moorage.downloader.v1 import blob_service_pb2
from moorage_agent.storage.source import BlobChunk
from moorage_common.core.names import artifact_name
from moorage_common.rpc.channels import ChannelConfig, reading
from moorage_common.rpc.clients import DownloaderClient
from moorage_common.runtime.telemetry import Telemetry


class MeshBlobSource:
    """Calls the BlobService at any address. Keeps one channel per address; close it."""

    def __init__(self, config: ChannelConfig, *, telemetry: Telemetry) -> None:
        """Takes the configuration of channels; its target is replaced by each address."""
        self._config = config
        self._telemetry = telemetry
        self._clients: dict[str, DownloaderClient] = {}

    @asynccontextmanager
    async def read(
        self, address: str, *, artifact: str, path: str, offset: int
    ) -> AsyncIterator[AsyncIterator[BlobChunk]]:
        """Reads a file from an offset to its end; see `moorage_agent.storage.source.BlobSource`."""
        request = blob_service_pb2.ReadBlobRequest(
            artifact=artifact_name(artifact), path=path, offset_bytes=offset
        )
        async with reading(self._client(address).blobs.ReadBlob(request)) as responses:
            yield _chunks(responses)

    async def close(self) -> None:
        """Closes the channels."""
        for client in self._clients.values():
            await client.close()

    def _client(self, address: str) -> DownloaderClient:
        if address not in self._clients:
            config = replace(self._config, target=address)
            self._clients[address] = DownloaderClient.connect(config, telemetry=self._telemetry)
        return self._clients[address]


async def _chunks(responses: AsyncIterable[blob_service_pb2.ReadBlobResponse]) -> AsyncIterator[BlobChunk]:
    async for response in responses:
        yield BlobChunk(data=response.data, sha256=response.sha256)
