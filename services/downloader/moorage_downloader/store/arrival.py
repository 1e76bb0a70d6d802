"""A blob on its way: one writer at a time, any number of readers meanwhile."""

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from moorage_common.core.errors import DataLoss, ErrorReason, MoorageError
from moorage_downloader.store.content import ArrivingContent, disk_error
from moorage_downloader.store.contract import READ_BYTES, Wanted
from moorage_downloader.store.layout import Layout, move, read_json, write_json
from moorage_downloader.store.reading import check_offset


class Arrival:
    """See `moorage_downloader.store.contract`."""

    def __init__(self, layout: Layout, wanted: Wanted) -> None:
        self.wanted: Final = wanted
        self.available_bytes = _size(layout, wanted)
        self.sha256 = ""
        self._layout = layout
        # Goes up whenever bytes that somebody may have read are dropped.
        self._generation = 0
        self._error: MoorageError | None = None
        self._writer = asyncio.Lock()
        self._changed = asyncio.Event()

    @property
    def size_bytes(self) -> int:
        """How much there will be."""
        return self.wanted.size_bytes

    @asynccontextmanager
    async def writing(self) -> AsyncIterator["ArrivalWriter | None"]:
        """Takes up the writing, once no other has it; None when the blob is complete by then."""
        async with self._writer:
            if self.sha256:
                yield None
                return
            self._error = None
            path = self._layout.arriving(self.wanted.key)
            content = await asyncio.to_thread(ArrivingContent, path, self.wanted)
            writer = ArrivalWriter(self, self._layout, content)
            try:
                await writer.catch_up()
                yield writer
            finally:
                await writer.close()

    def has_grown(self, size: int) -> None:
        """For the writer: so much is there now. Less than before means that bytes were dropped."""
        if size < self.available_bytes:
            self._generation += 1
        self.available_bytes = size
        self._notify()

    def has_completed(self, sha256: str) -> None:
        """For the writer: the blob is complete."""
        self.sha256 = sha256
        self._notify()

    def give_up(self, error: MoorageError) -> None:
        """Tells readers that nothing more will come, and why."""
        if not self.sha256:
            self._error = error
            self._notify()

    async def read(self, offset: int) -> AsyncGenerator[bytes, None]:
        """Reads from an offset to the end; see `moorage_downloader.store.contract.ReadableBlob`."""
        check_offset(offset, self.size_bytes)
        generation, file = self._generation, -1
        try:
            while offset < self.size_bytes:
                await self._wait_for(offset, generation)
                if file < 0:
                    file = self._open()
                length = min(READ_BYTES, self.available_bytes - offset)
                block = await asyncio.to_thread(os.pread, file, length, offset)
                # Bytes that were dropped while they were read are not passed on.
                self._check(generation)
                offset += len(block)
                yield block
            await self._wait_for(offset, generation)
        finally:
            if file >= 0:
                os.close(file)

    async def _wait_for(self, offset: int, generation: int) -> None:
        """Waits until there is more, or, at the end, until the blob is complete."""
        while True:
            self._check(generation)
            if self.sha256 or self.available_bytes > offset:
                return
            await self._changed.wait()

    def _check(self, generation: int) -> None:
        if self._generation != generation:
            raise DataLoss(
                "the content turned out to be wrong, and is fetched again", reason=ErrorReason.DIGEST_MISMATCH
            )
        if self._error is not None:
            raise self._error

    def _open(self) -> int:
        flags = os.O_RDONLY | os.O_CLOEXEC
        if self.sha256:
            return os.open(self._layout.blob(self.sha256), flags)
        return os.open(self._layout.arriving(self.wanted.key), flags)

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


class ArrivalWriter:
    """The writer's side of an arrival, from `Arrival.writing`."""

    def __init__(self, arrival: Arrival, layout: Layout, content: ArrivingContent) -> None:
        self._arrival = arrival
        self._layout = layout
        self._content = content
        self._key = arrival.wanted.key
        self._pending: asyncio.Task[None] | None = None
        stored = read_json(self._layout.validator(self._key)) or {}
        self.validator = str(stored.get("validator", "")) if content.size else ""
        """What the source gave with the bytes that are there. Empty: nothing."""

    async def catch_up(self) -> None:
        """Hashes what an earlier writer left, in pieces, so that it can be cancelled."""
        self._arrival.has_grown(self._content.size)
        while await asyncio.to_thread(self._content.catch_up):
            pass

    async def begin(self, validator: str) -> None:
        """Notes what the source gives with the bytes that follow."""
        if validator != self.validator:
            await asyncio.to_thread(write_json, self._layout.validator(self._key), {"validator": validator})
            self.validator = validator

    async def append(self, data: bytes) -> None:
        """Hands over the next bytes; they are written while the caller gets more.

        Raises:
            ResourceExhausted: DISK_FULL, for these bytes or those before.
            DataLoss: More arrives than there should be.
        """
        await self.settle()
        self._pending = asyncio.create_task(self._append(data))

    async def settle(self) -> int:
        """Waits for bytes on their way to the disk, and returns where the next ones go.

        Raises:
            ResourceExhausted: DISK_FULL.
        """
        pending, self._pending = self._pending, None
        if pending is not None:
            await _uninterrupted(pending)
            pending.result()
        return self._content.size

    async def restart(self) -> None:
        """Drops everything: the source begins anew."""
        await self.settle()
        await asyncio.to_thread(self._content.clear)
        self._arrival.has_grown(0)

    async def commit(self) -> str:
        """Makes the blob complete, if it is what is wanted, and returns its SHA-256.

        Raises:
            DataLoss: DIGEST_MISMATCH, with the digests. The bytes are in quarantine; begin again.
            ResourceExhausted: DISK_FULL.
        """
        await self.settle()
        problem, sha256 = self._content.mismatch(), self._content.sha256
        if problem:
            await self._in_thread(self._set_aside)
            self._arrival.has_grown(0)
            raise DataLoss(
                f"the content is wrong: {problem}",
                reason=ErrorReason.DIGEST_MISMATCH,
                metadata={"sha256": sha256},
            )
        await self._in_thread(lambda: self._finish(sha256))
        self._arrival.has_completed(sha256)
        return sha256

    async def close(self) -> None:
        """Waits for bytes on their way to the disk, and lets go of the file."""
        try:
            if self._pending is not None:
                await _uninterrupted(self._pending)
        finally:
            self._content.close()

    async def _append(self, data: bytes) -> None:
        await asyncio.to_thread(self._content.append, data)
        self._arrival.has_grown(self._content.size)

    async def _in_thread(self, function: Callable[[], None]) -> None:
        """Runs what must not be left half done."""
        self._pending = asyncio.create_task(asyncio.to_thread(function))
        try:
            await self.settle()
        except OSError as error:
            raise disk_error(error) from error

    def _finish(self, sha256: str) -> None:
        self._content.flush()
        if not self._arrival.wanted.sha256:
            # Before the blob gets its place: once it is there, its key must lead to it.
            write_json(self._layout.name(self._key), {"sha256": sha256})
        move(self._layout.arriving(self._key), self._layout.blob(sha256))
        self._layout.validator(self._key).unlink(missing_ok=True)

    def _set_aside(self) -> None:
        wrong = self._content
        self._layout.quarantine(self._key)
        self._layout.validator(self._key).unlink(missing_ok=True)
        self._content = ArrivingContent(self._layout.arriving(self._key), self._arrival.wanted)
        wrong.close()


def _size(layout: Layout, wanted: Wanted) -> int:
    try:
        size = layout.arriving(wanted.key).stat().st_size
    except FileNotFoundError:
        return 0
    return size if size <= wanted.size_bytes else 0


async def _uninterrupted(task: asyncio.Task[None]) -> None:
    """Waits until a short task has ended, also when cancelled meanwhile; then passes the cancellation on."""
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        # What the task itself raised is of no use to somebody who is leaving.
        task.exception()
        raise cancelled
