"""All schemes behind one front: an artifact's reference decides which source is asked."""

from contextlib import AbstractAsyncContextManager
from typing import Any

from moorage_downloader.core.artifact import Artifact, ArtifactFile
from moorage_downloader.core.source_ref import HubRef, LocalRef, SourceRef, WebRef, parse_source
from moorage_downloader.sources.contract import OpenedFile, Source


class SourceCatalog:
    """Every scheme that there is."""

    def __init__(self, *, hub: Source[HubRef], web: Source[WebRef], local: Source[LocalRef]) -> None:
        # The constructor's types pair each kind of reference with its source; a dict cannot say so.
        self._sources: dict[type[SourceRef], Source[Any]] = {HubRef: hub, WebRef: web, LocalRef: local}

    async def resolve(self, source: str) -> Artifact:
        """Pins a source as a user wrote it. Raises the errors of `moorage_downloader.sources.contract`."""
        ref = parse_source(source)
        return await self._sources[type(ref)].resolve(ref)

    async def confirm(self, artifact: Artifact) -> None:
        """Makes sure that an artifact is still what its source serves."""
        ref = parse_source(artifact.source)
        await self._sources[type(ref)].confirm(ref, artifact)

    def open(
        self,
        artifact: Artifact,
        file: ArtifactFile,
        *,
        offset: int = 0,
        length: int | None = None,
        validator: str = "",
    ) -> AbstractAsyncContextManager[OpenedFile]:
        """Opens a file of an artifact; see `moorage_downloader.sources.contract.Source.open`."""
        ref = parse_source(artifact.source)
        source = self._sources[type(ref)]
        return source.open(ref, artifact, file, offset=offset, length=length, validator=validator)
