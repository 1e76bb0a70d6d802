"""Where the bytes of artifacts come from, as seen from storage."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobChunk:
    """A piece of a file."""

    data: bytes
    sha256: str = ""
    """Digest of the whole file: only with the last piece."""


class BlobSource(Protocol):
    """Reads files from those who serve them."""

    def read(
        self, address: str, *, artifact: str, path: str, offset: int
    ) -> AbstractAsyncContextManager[AsyncIterator[BlobChunk]]:
        """Reads a file from an offset to its end; leaving the context ends the reading.

        It waits for bytes that are still on their way to whom serves them.

        Raises:
            NotFound: It is not there (BLOB_NOT_FOUND).
            OutOfRange: The offset is past its end.
            DataLoss: What was sent is wrong; drop it (DIGEST_MISMATCH).
            Unavailable: It broke off; read on from where you are.
        """
        ...
