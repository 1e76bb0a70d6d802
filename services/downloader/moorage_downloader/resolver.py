"""From a source as a user wrote it to an artifact with the facts of its model, without reading weights."""

import asyncio
from dataclasses import dataclass

from moorage_common.core.errors import DeadlineExceeded, ErrorReason
from moorage_common.modelfiles.gguf import read_gguf_ranges
from moorage_common.modelfiles.gguf_facts import GgufFacts
from moorage_downloader.core.artifact import Artifact, ArtifactFile
from moorage_downloader.sources.catalog import SourceCatalog


@dataclass(frozen=True, slots=True)
class Resolution:
    """What a source means now."""

    artifact: Artifact
    facts: GgufFacts


class Resolver:
    """Resolves sources and inspects what they lead to.

    Args:
        sources: Where to look.
    """

    def __init__(self, sources: SourceCatalog) -> None:
        self._sources = sources

    async def resolve(self, source: str, *, timeout_s: float = 60.0) -> Resolution:
        """Pins a source to an artifact and reads the headers of its files.

        Args:
            source: As a user wrote it.
            timeout_s: Seconds for all of it.

        Raises:
            MoorageError: As in `moorage_downloader.sources.contract`; and FailedPrecondition with
                MODEL_FILE_INVALID or ARCHITECTURE_UNSUPPORTED, with what was read.
        """
        try:
            async with asyncio.timeout(timeout_s):
                artifact = await self._sources.resolve(source)
                readers = [_FileRanges(self._sources, artifact, file) for file in artifact.files]
                return Resolution(artifact, await read_gguf_ranges(readers))
        except TimeoutError as error:
            raise DeadlineExceeded(
                f"source {source[:200]!r}: resolving it took longer than {timeout_s:g} s",
                reason=ErrorReason.SOURCE_UNAVAILABLE,
                metadata={"source": source[:200]},
            ) from error


class _FileRanges:
    """One file of an artifact, for the header reader."""

    def __init__(self, sources: SourceCatalog, artifact: Artifact, file: ArtifactFile) -> None:
        self._sources = sources
        self._artifact = artifact
        self._file = file

    @property
    def name(self) -> str:
        return self._file.path

    @property
    def size(self) -> int:
        return self._file.size_bytes

    async def read(self, offset: int, length: int) -> bytes:
        wanted = bytearray()
        async with self._sources.open(self._artifact, self._file, offset=offset, length=length) as opened:
            # A server without ranges begins at 0: what comes before is dropped as it arrives.
            position = opened.offset
            async for chunk in opened.chunks:
                wanted += chunk[max(0, offset - position) :]
                position += len(chunk)
                if len(wanted) >= length:
                    break
        return bytes(wanted[:length])
