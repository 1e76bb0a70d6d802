"""From a source as a user wrote it to an artifact with the facts of its model, without reading weights."""

import asyncio
from dataclasses import dataclass, replace

from moorage_common.core.errors import DeadlineExceeded, ErrorReason
from moorage_common.modelfiles.config_keys import CONFIG_NAME
from moorage_common.modelfiles.gguf import read_gguf_ranges
from moorage_common.modelfiles.gguf_facts import GgufFacts
from moorage_common.modelfiles.safetensors import read_safetensors_ranges
from moorage_common.modelfiles.safetensors_facts import SafetensorsFacts
from moorage_common.modelfiles.safetensors_files import weight_candidates
from moorage_downloader.core.artifact import Artifact, ArtifactFile
from moorage_downloader.sources.catalog import SourceCatalog


@dataclass(frozen=True, slots=True)
class Resolution:
    """What a source means now."""

    artifact: Artifact
    facts: GgufFacts | SafetensorsFacts


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
                return await self._inspect(await self._sources.resolve(source))
        except TimeoutError as error:
            raise DeadlineExceeded(
                f"source {source[:200]!r}: resolving it took longer than {timeout_s:g} s",
                reason=ErrorReason.SOURCE_UNAVAILABLE,
                metadata={"source": source[:200]},
            ) from error

    async def _inspect(self, artifact: Artifact) -> Resolution:
        readers = {file.path: _FileRanges(self._sources, artifact, file) for file in artifact.files}
        folder, slash, name = artifact.entry_point.rpartition("/")
        if name != CONFIG_NAME:
            return Resolution(artifact, await read_gguf_ranges(list(readers.values())))
        prefix = folder + slash
        model = await read_safetensors_ranges(
            {path.removeprefix(prefix): reader for path, reader in readers.items()}
        )
        return Resolution(_with_weights(artifact, prefix, frozenset(model.weights)), model.facts)


def _with_weights(artifact: Artifact, prefix: str, weights: frozenset[str]) -> Artifact:
    """The artifact without weights that do not count: the same ones, for another library."""
    names = [file.path.removeprefix(prefix) for file in artifact.files]
    dropped = weight_candidates(names) - weights
    files = [file for file, name in zip(artifact.files, names, strict=True) if name not in dropped]
    return replace(artifact, files=tuple(files))


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
