"""What the downloader keeps on disk, and the life of a blob there.

A blob is one file's content. Complete, it is named by its SHA-256 and never changes. On the way it is an arrival,
named by what is known of it: a digest that the source promises, or else where it comes from.

    find(wanted)         a complete blob that is what is wanted, or None
    arriving(wanted)     the arrival of it, one object for all who want the same content; it lives as long as
                         somebody holds it
      writing()            one writer at a time: takes up what an earlier one left, on any day, in any process
        append(bytes)        the next bytes: hashed on their way to the disk
        restart()            the source begins anew, with other content: everything so far is dropped
        commit()             digests right: the blob is complete. Wrong: the bytes go to quarantine, the arrival
                             is empty again, and DataLoss is raised
      read(offset)         any number of readers, at once, while bytes still arrive

What holds at every moment, whoever is killed:

- Nothing is at a complete blob's path that has not been verified and flushed to the disk.
- A file that was committed is never fetched again; of one that was not, at most what was still in memory.
- A reader that has come to its end without an error has read a verified blob. One that has read bytes which turn
  out wrong gets DataLoss; one whose arrival is given up gets the error, and may come back.
"""

import hashlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Protocol

READ_BYTES = 1 << 20
"""How much a reader gets at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a blob must turn out to be."""

    size_bytes: int
    sha256: str = ""
    """Empty: the source does not promise it."""
    git_blob_id: str = ""
    """Empty: the source does not promise it."""
    origin: str = ""
    """Where it comes from, down to the revision: names the arrival when no digest does."""

    @property
    def key(self) -> str:
        """Names the arrival, as a file name."""
        if self.sha256:
            return f"sha256-{self.sha256}"
        if self.git_blob_id:
            return f"git-{self.git_blob_id}"
        return f"seen-{hashlib.sha256(self.origin.encode()).hexdigest()}"


class ReadableBlob(Protocol):
    """A blob as its readers see it, complete or arriving."""

    @property
    def size_bytes(self) -> int:
        """How much there will be."""
        ...

    @property
    def available_bytes(self) -> int:
        """How much is there, from the start."""
        ...

    @property
    def sha256(self) -> str:
        """Of the whole content, once that was verified; empty before."""
        ...

    def read(self, offset: int) -> AsyncGenerator[bytes, None]:
        """Reads from an offset to the end, waiting for what is still to come.

        It ends only when the blob is complete: then `sha256` is known.

        Raises:
            OutOfRange: The offset is past the end.
            DataLoss: What was read is wrong: drop it.
            NotFound: BLOB_NOT_FOUND: the blob has gone from the disk.
            MoorageError: The arrival was given up, with the reason.
        """
        ...
