"""Fetches one file: from whichever address serves it, from where it left off, until it is whole.

What can pass by itself (a server that restarts, a pull that breaks off) is tried again here, so that
the digest of what has arrived is kept. What cannot is raised; the copy fails, and is tried again later.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from moorage_agent.core.domain import FileEntry
from moorage_agent.storage.artifacts import ArtifactStore
from moorage_agent.storage.blobs import PartialBlob
from moorage_agent.storage.source import BlobSource
from moorage_common.core.backoff import Backoff
from moorage_common.core.errors import (
    Cancelled,
    DataLoss,
    DeadlineExceeded,
    MoorageError,
    NotFound,
    OutOfRange,
    Unavailable,
)

_PASSES = (Unavailable, DeadlineExceeded, Cancelled)
_NOT_FOUND_TRIES = 3
"""A downloader that has just taken a pull on may not know the file for a moment."""


class Addresses(Protocol):
    """Where a file can be read just now; changes while it is fetched."""

    @property
    def current(self) -> tuple[str, ...]:
        """Addresses, best first; empty while there are none."""
        ...

    async def changed(self) -> None:
        """Waits until they differ."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Whom a fetch tells how it goes."""

    on_bytes: Callable[[int], None]
    """So many bytes more are there; fewer, if negative."""
    on_trouble: Callable[[MoorageError | None], None]
    """Why it does not go on just now; None: it does."""


class FileFetch:
    """Fetches one file of an artifact."""

    def __init__(
        self,
        *,
        store: ArtifactStore,
        source: BlobSource,
        artifact: str,
        file: FileEntry,
        addresses: Addresses,
        progress: Progress,
        backoff: Backoff,
    ) -> None:
        self._store = store
        self._source = source
        self._artifact = artifact
        self._file = file
        self._addresses = addresses
        self._progress = progress
        self._backoff = backoff
        self._not_found = 0

    async def run(self) -> None:
        """Returns once the file is whole and verified.

        Raises:
            NotFound: Nobody has it (BLOB_NOT_FOUND).
            DataLoss: What arrived is not what its digest promises (DIGEST_MISMATCH).
            ResourceExhausted: The disk is full (DISK_FULL).
        """
        if await asyncio.to_thread(self._store.has_file, self._artifact, self._file):
            self._progress.on_bytes(self._file.size_bytes)
            return
        partial = await asyncio.to_thread(self._store.open_partial, self._artifact, self._file)
        try:
            self._progress.on_bytes(partial.offset)
            sha256 = await self._arrive(partial)
            await asyncio.to_thread(self._store.add_file, self._artifact, self._file, partial, sha256=sha256)
        except DataLoss:
            self._progress.on_bytes(-partial.offset)
            raise
        finally:
            partial.close()

    async def _arrive(self, partial: PartialBlob) -> str:
        """Returns the digest that the whole file should have."""
        while True:
            # A partial file that was whole when the agent was killed needs nobody.
            if partial.offset == self._file.size_bytes and self._file.sha256:
                return self._file.sha256
            try:
                promised = await self._read_from_any(partial)
            except _PASSES as error:
                self._progress.on_trouble(error)
                await self._pause()
            else:
                return self._file.sha256 or promised

    async def _read_from_any(self, partial: PartialBlob) -> str:
        trouble: MoorageError = Unavailable("nobody serves the file yet")
        for address in self._addresses.current:
            try:
                return await self._read(address, partial)
            except NotFound as error:
                self._not_found += 1
                if self._not_found >= _NOT_FOUND_TRIES:
                    raise
                trouble = Unavailable(error.message, reason=error.reason)
            except OutOfRange as error:
                self._restart(partial)
                trouble = Unavailable(error.message, reason=error.reason)
            except _PASSES as error:
                trouble = error
        raise trouble

    async def _read(self, address: str, partial: PartialBlob) -> str:
        promised = ""
        reading = self._source.read(
            address, artifact=self._artifact, path=self._file.path, offset=partial.offset
        )
        async with reading as chunks:
            try:
                async for chunk in chunks:
                    await asyncio.to_thread(partial.write, chunk.data)
                    self._progress.on_bytes(len(chunk.data))
                    self._went_on()
                    promised = chunk.sha256 or promised
            except DataLoss:
                self._restart(partial)
                raise
        if partial.offset < self._file.size_bytes or not (promised or self._file.sha256):
            raise Unavailable("the stream ended before the file did")
        return promised

    def _went_on(self) -> None:
        if self._backoff.failures:
            self._backoff.reset()
            self._progress.on_trouble(None)

    def _restart(self, partial: PartialBlob) -> None:
        self._progress.on_bytes(-partial.offset)
        partial.restart()

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(self._backoff.next_delay_s()):
                await self._addresses.changed()
        except TimeoutError:
            return
