"""Content-addressed bytes: a blob is one file's content, named by its SHA-256.

Life cycle:

    open_partial ──write…──► commit ──digest right──► blob (read-only, durable, then visible)
         ▲  │                   └──────digest wrong──► quarantine, DataLoss; the next one starts clean
         │  └─ killed at any point: the bytes stay in partial/, and
         └──── open_partial finds them again

Resume: SHA-256's inner state cannot be stored with hashlib, so an interrupted partial file is read
once more (1.8 GB/s) to get the digest back; a file that arrives in one go is hashed as it streams
and never read again. Writes go straight to the kernel: what `write` returned from survives a kill
of the process. After a power cut a partial file may hold holes: its digest tells.
"""

import hashlib
import os
import shutil
import threading
from collections.abc import Collection
from pathlib import Path
from typing import Self

from moorage_agent.files import disk_full_is_clear, file_size, sync_directory
from moorage_agent.storage.layout import Layout
from moorage_common.core.errors import DataLoss, ErrorReason

_READ_BYTES = 4 * 2**20
_QUARANTINE_KEEPS = 2


class PartialBlob:
    """A file that is still arriving. One at a time per key.

    Whoever writes may be cancelled while a thread still does it for him: closing waits for that thread.
    """

    def __init__(self, path: Path, *, size_bytes: int) -> None:
        self.path = path
        self.size_bytes = size_bytes
        self._digest = hashlib.sha256()
        self._offset = 0
        self._writing = threading.Lock()
        with disk_full_is_clear():
            self._file = path.open("a+b", buffering=0)

    @classmethod
    def resume(cls, path: Path, *, size_bytes: int) -> Self:
        """Opens a partial file at the end of what is there. Reads all of that: run it in a thread."""
        partial = cls(path, size_bytes=size_bytes)
        try:
            partial._rehash()
        except BaseException:
            partial.close()
            raise
        return partial

    @property
    def offset(self) -> int:
        """How many bytes are there."""
        return self._offset

    @property
    def sha256(self) -> str:
        """Digest of the bytes that are there."""
        return self._digest.hexdigest()

    def write(self, data: bytes) -> None:
        """Appends bytes.

        Raises:
            DataLoss: More bytes came than the file has.
            ResourceExhausted: The disk is full (DISK_FULL). What was written stays, and counts.
        """
        if self._offset + len(data) > self.size_bytes:
            raise DataLoss(f"more bytes came than the {self.size_bytes} that the file has")
        view = memoryview(data)
        with self._writing, disk_full_is_clear():
            while view:
                written = self._file.write(view) or 0
                self._digest.update(view[:written])
                self._offset += written
                view = view[written:]

    def restart(self) -> None:
        """Drops the bytes that are there."""
        self._file.truncate(0)
        self._digest = hashlib.sha256()
        self._offset = 0

    def sync(self) -> None:
        """Makes the bytes durable."""
        with disk_full_is_clear():
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Lets go of the file, which stays."""
        with self._writing:
            self._file.close()

    def _rehash(self) -> None:
        if os.fstat(self._file.fileno()).st_size > self.size_bytes:
            self.restart()
        self._file.seek(0)
        while chunk := self._file.read(_READ_BYTES):
            self._digest.update(chunk)
            self._offset += len(chunk)


class BlobStore:
    """The blobs of one node. Its methods block: run them in threads where files are large."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        # A blob is linked a moment after it appears; collect() must not run in between.
        self._linking = threading.Lock()

    def open_partial(self, key: str, *, size_bytes: int) -> PartialBlob:
        """Opens what has arrived so far of a file; creates it at the first time.

        Args:
            key: Names the file for as long as it is incomplete: its SHA-256 where that is known.
            size_bytes: Size that the whole file will have.
        """
        return PartialBlob.resume(self._layout.partial / key, size_bytes=size_bytes)

    def commit(self, partial: PartialBlob, *, sha256: str, link: Path) -> None:
        """Makes a whole file visible under its digest and under a path of an artifact, durably. Closes it.

        Raises:
            DataLoss: The bytes have another digest (DIGEST_MISMATCH); they are in quarantine.
            ResourceExhausted: The disk is full (DISK_FULL); the bytes stay.
        """
        found = partial.sha256
        if found != sha256 or partial.offset != partial.size_bytes:
            partial.close()
            self.quarantine(partial.path)
            raise _mismatch(expected=sha256, found=found, size=partial.offset)
        partial.sync()
        partial.close()
        target = self._layout.blob(sha256)
        with self._linking, disk_full_is_clear():
            target.parent.mkdir(mode=0o700, exist_ok=True)
            # Engines map this file; nobody may change it under them.
            partial.path.chmod(0o444)
            partial.path.replace(target)
            sync_directory(target.parent)
            self._link(sha256, link)

    def link(self, sha256: str, link: Path, *, size_bytes: int) -> bool:
        """Gives content a path of an artifact. Both names are the same bytes on disk.

        Returns:
            Whether the content is here, so that the path is there now.
        """
        with self._linking, disk_full_is_clear():
            if file_size(self._layout.blob(sha256)) != size_bytes:
                return False
            self._link(sha256, link)
            return True

    def partial_bytes(self, key: str) -> int:
        """How much has arrived so far of a file."""
        return file_size(self._layout.partial / key) or 0

    def discard_partial(self, key: str) -> None:
        """Drops what has arrived so far of a file."""
        (self._layout.partial / key).unlink(missing_ok=True)

    def discard_partials(self, *, but: Collection[str]) -> None:
        """Drops what has arrived so far of files, but for those named."""
        for path in self._layout.partial.iterdir():
            if path.name not in but:
                path.unlink(missing_ok=True)

    def collect(self) -> None:
        """Drops the blobs that no artifact links to."""
        with self._linking:
            for blob in self._layout.blobs.glob("*/*"):
                if blob.stat().st_nlink == 1:
                    blob.unlink()

    def used_bytes(self) -> int:
        """Bytes taken by blobs, partial files and quarantine."""
        places = (
            self._layout.blobs.glob("*/*"),
            self._layout.partial.iterdir(),
            self._layout.quarantine.iterdir(),
        )
        return sum(path.stat().st_size for place in places for path in place)

    def free_bytes(self) -> int:
        """Bytes that can still be written."""
        return shutil.disk_usage(self._layout.root).free

    def capacity_bytes(self) -> int:
        """Size of the file system."""
        return shutil.disk_usage(self._layout.root).total

    def quarantine(self, path: Path) -> None:
        """Takes a file out of use whose bytes are not what they should be."""
        kept = sorted(self._layout.quarantine.iterdir(), key=lambda item: item.stat().st_mtime)
        # Enough to look at; a source that keeps lying must not fill the disk.
        for old in kept[: max(0, len(kept) - _QUARANTINE_KEEPS + 1)]:
            old.unlink()
        numbers = [int(item.suffix[1:]) for item in kept if item.suffix[1:].isdigit()]
        path.replace(self._layout.quarantine / f"{path.name}.{max(numbers, default=0) + 1}")

    def _link(self, sha256: str, link: Path) -> None:
        link.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.hardlink_to(self._layout.blob(sha256))
        sync_directory(link.parent)


def _mismatch(*, expected: str, found: str, size: int) -> DataLoss:
    return DataLoss(
        f"the {size} bytes that arrived have SHA-256 {found}, not {expected}",
        reason=ErrorReason.DIGEST_MISMATCH,
        metadata={"expected_sha256": expected, "found_sha256": found},
        remedy="The bytes are in quarantine; they are fetched again from the start.",
    )
