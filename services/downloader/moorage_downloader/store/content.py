"""The bytes of an arrival: an open file and the digests of what is in it so far."""

import errno
import hashlib
import os
from contextlib import suppress
from pathlib import Path

from moorage_common.core.errors import DataLoss, ErrorReason, MoorageError, ResourceExhausted, Unavailable
from moorage_downloader.store.contract import Wanted

_REHASH_BYTES = 64 << 20
"""How much of an earlier writer's bytes is hashed before anybody else gets a say."""


class ArrivingContent:
    """A file that grows at its end. Every method blocks: call it in a thread, one at a time.

    Digests are not stored: the prefix that an earlier writer left is hashed again, which takes a second for
    1.7 GB, and finds out at once if the disk has altered it.
    """

    def __init__(self, path: Path, wanted: Wanted) -> None:
        self._wanted = wanted
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        # More than there should be is nothing to continue.
        if os.fstat(self._file).st_size > wanted.size_bytes:
            os.ftruncate(self._file, 0)
        self.size = os.fstat(self._file).st_size
        self._hashed = 0
        self._start_digests()

    def _start_digests(self) -> None:
        self._sha256 = hashlib.sha256()
        # Git names a blob by the SHA-1 of its size and content.
        self._git = hashlib.sha1(f"blob {self._wanted.size_bytes}\0".encode(), usedforsecurity=False)

    def catch_up(self) -> bool:
        """Hashes some more of what an earlier writer left; False when there is nothing left to hash."""
        end = min(self.size, self._hashed + _REHASH_BYTES)
        while self._hashed < end:
            block = os.pread(self._file, min(1 << 20, end - self._hashed), self._hashed)
            if not block:
                raise Unavailable("an arriving file got shorter", reason=ErrorReason.INTERNAL)
            self._hash(block)
        return self._hashed < self.size

    def append(self, data: bytes) -> None:
        """Writes at the end.

        Raises:
            ResourceExhausted: DISK_FULL.
            DataLoss: That would be more than there should be.
        """
        if self.size + len(data) > self._wanted.size_bytes:
            raise DataLoss(f"more than {self._wanted.size_bytes:,} bytes arrived")
        rest = memoryview(data)
        try:
            while rest:
                written = os.pwrite(self._file, rest, self.size)
                self.size += written
                rest = rest[written:]
        except OSError as error:
            self._forget_unhashed()
            raise disk_error(error) from error
        self._hash(data)

    def clear(self) -> None:
        """Drops everything."""
        os.ftruncate(self._file, 0)
        self.size = self._hashed = 0
        self._start_digests()

    def flush(self) -> None:
        """Returns once the disk has it all."""
        try:
            os.fsync(self._file)
        except OSError as error:
            raise disk_error(error) from error

    def close(self) -> None:
        """Lets go of the file."""
        os.close(self._file)

    @property
    def sha256(self) -> str:
        """Of everything so far."""
        return self._sha256.hexdigest()

    def mismatch(self) -> str:
        """What is wrong with the content, in words; empty when it is what is wanted."""
        if self.size != self._wanted.size_bytes:
            return f"{self.size:,} bytes, should be {self._wanted.size_bytes:,}"
        if self._wanted.sha256 and self.sha256 != self._wanted.sha256:
            return f"its SHA-256 is {self.sha256}, should be {self._wanted.sha256}"
        if self._wanted.git_blob_id and self._git.hexdigest() != self._wanted.git_blob_id:
            return f"its git blob id is {self._git.hexdigest()}, should be {self._wanted.git_blob_id}"
        return ""

    def _hash(self, data: bytes) -> None:
        self._sha256.update(data)
        if self._wanted.git_blob_id:
            self._git.update(data)
        self._hashed += len(data)

    def _forget_unhashed(self) -> None:
        """After a failed write: the file ends where the digests do."""
        self.size = self._hashed
        with suppress(OSError):
            os.ftruncate(self._file, self.size)


def disk_error(error: OSError) -> MoorageError:
    """The error for a disk that would not take bytes."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return ResourceExhausted(
            "the downloader's disk is full",
            reason=ErrorReason.DISK_FULL,
            remedy="Make room in the downloader's cache folder; it goes on by itself.",
        )
    return Unavailable(
        f"the downloader's disk failed: {error.strerror}", reason=ErrorReason.SERVICE_UNAVAILABLE
    )
