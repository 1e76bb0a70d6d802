"""``https:`` sources: a file on the web, or a model in shards beside each other.

The web promises no digest: the SHA-256 is recorded on first sight. The revision is the server's ETag or time of
change, and a source that has another one at the time of the pull has changed.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from moorage_common.modelfiles.config_keys import CONFIG_NAME
from moorage_common.modelfiles.shards import shard_paths
from moorage_downloader.core.artifact import Artifact, ArtifactFile
from moorage_downloader.core.file_names import check_file_names
from moorage_downloader.core.source_ref import WebRef, invalid_source
from moorage_downloader.sources.contract import OpenedFile, combined_revision, source_changed
from moorage_downloader.sources.http_reader import HttpReader, RemoteFile


class WebSource:
    """Reads files on the web."""

    def __init__(self, http: HttpReader) -> None:
        self._http = http

    async def resolve(self, ref: WebRef) -> Artifact:
        """Pins a URL to what the server says of the file now."""
        if ref.file_name == CONFIG_NAME or ref.file_name.endswith(".safetensors"):
            raise invalid_source(
                str(ref), "a model in safetensors is a folder, which the web cannot list; use hf: or file:"
            )
        names = shard_paths(ref.file_name)
        check_file_names(names)
        probes = [await self._http.probe(self._url(ref, name), source=str(ref)) for name in names]
        return Artifact(
            source=str(ref),
            revision=combined_revision([probe.validator or f"{probe.size} bytes" for probe in probes]),
            files=tuple(
                ArtifactFile(path=name, size_bytes=probe.size)
                for name, probe in zip(names, probes, strict=True)
            ),
            entry_point=names[0],
        )

    async def confirm(self, ref: WebRef, artifact: Artifact) -> None:
        """Asks the server again."""
        now = await self.resolve(ref)
        if now.revision != artifact.revision:
            raise source_changed(str(ref), f"its revision is {now.revision!r}, was {artifact.revision!r}")

    @asynccontextmanager
    async def open(
        self,
        ref: WebRef,
        artifact: Artifact,
        file: ArtifactFile,
        *,
        offset: int = 0,
        length: int | None = None,
        validator: str = "",
    ) -> AsyncIterator[OpenedFile]:
        """Opens a file of the model."""
        # With neither a digest nor a validator, nothing would show that the rest is of another file.
        resumable = bool(validator) or length is not None
        remote = RemoteFile(url=self._url(ref, file.path), source=artifact.source, size=file.size_bytes)
        start = offset if resumable else 0
        async with self._http.open(remote, offset=start, length=length, validator=validator) as opened:
            yield opened

    @staticmethod
    def _url(ref: WebRef, name: str) -> str:
        return ref.url if name == ref.file_name else ref.sibling(name)
