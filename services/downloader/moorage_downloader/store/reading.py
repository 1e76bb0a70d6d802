"""Complete blobs, as their readers see them."""

import asyncio
import os
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

from moorage_common.core.errors import ErrorReason, NotFound, OutOfRange
from moorage_downloader.store.contract import READ_BYTES


@dataclass(frozen=True, slots=True)
class StoredBlob:
    """A complete blob; see `moorage_downloader.store.contract.ReadableBlob`."""

    path: Path
    size_bytes: int
    sha256: str

    @property
    def available_bytes(self) -> int:
        """All of it."""
        return self.size_bytes

    async def read(self, offset: int) -> AsyncGenerator[bytes, None]:
        """Reads from an offset to the end."""
        check_offset(offset, self.size_bytes)
        try:
            file = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise blob_not_found("it has gone from the cache") from error
        try:
            while block := await asyncio.to_thread(os.pread, file, READ_BYTES, offset):
                offset += len(block)
                yield block
        finally:
            os.close(file)


def blob_not_found(problem: str) -> NotFound:
    """The error for a blob that is not held here."""
    return NotFound(f"blob not found: {problem}", reason=ErrorReason.BLOB_NOT_FOUND)


def check_offset(offset: int, size: int) -> None:
    """Raises `OutOfRange` for an offset past the end."""
    if offset > size:
        raise OutOfRange(
            f"offset {offset:,} is past the end of a file of {size:,} bytes",
            reason=ErrorReason.INVALID_REQUEST,
        )
