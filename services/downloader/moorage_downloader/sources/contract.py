"""What the downloader asks of a source, whatever its scheme.

    resolve   a reference that a user wrote → an artifact pinned to an immutable revision, with its manifest.
              Reads nothing of the files: of a model in safetensors, its index tells later which weights count.
    confirm   an artifact → nothing, or SOURCE_CHANGED: before a pull, for schemes whose revisions can go away
    open      an artifact, a file of it, an offset → its bytes from there on

Errors are the same for every scheme, and each names the source:

    NotFound            SOURCE_NOT_FOUND     it, its revision or its file does not exist
    PermissionDenied    SOURCE_DENIED        it wants a token, or a better one
    InvalidArgument     SOURCE_INVALID       it does not name one model
    FailedPrecondition  SOURCE_INVALID       it answers what cannot be used
    FailedPrecondition  SOURCE_CHANGED       it serves other content than was resolved
    Unavailable         SOURCE_UNAVAILABLE   it did not answer properly; trying again may help
"""

import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol, TypeVar

from moorage_common.core.errors import ErrorReason, FailedPrecondition, Unavailable
from moorage_downloader.core.artifact import Artifact, ArtifactFile
from moorage_downloader.core.http_rules import AWAY_REMEDY
from moorage_downloader.core.source_ref import SourceRef

RefT_contra = TypeVar("RefT_contra", bound=SourceRef, contravariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedFile:
    """Bytes on their way."""

    offset: int
    """Where they begin: as asked for, or 0 when the source cannot or must not continue there."""
    validator: str
    """What to give back when opening again, so that the source continues only the same content. Empty: none."""
    chunks: AsyncIterator[bytes]
    """Up to the end that was asked for, and not a byte more. Raises `Unavailable` when they break off before."""


class Source(Protocol[RefT_contra]):
    """One scheme."""

    async def resolve(self, ref: RefT_contra) -> Artifact:
        """Pins a reference to what it means now."""
        ...

    async def confirm(self, ref: RefT_contra, artifact: Artifact) -> None:
        """Makes sure that an artifact resolved earlier is still what the source serves."""
        ...

    def open(
        self,
        ref: RefT_contra,
        artifact: Artifact,
        file: ArtifactFile,
        *,
        offset: int = 0,
        length: int | None = None,
        validator: str = "",
    ) -> AbstractAsyncContextManager[OpenedFile]:
        """Opens a file of an artifact.

        Args:
            ref: The artifact's own reference, parsed.
            artifact: What was resolved.
            file: One of its files.
            offset: Where to begin, in bytes; less than the file's size.
            length: How many bytes; None: to the file's end.
            validator: From an earlier opening of the same file.
        """
        ...


def combined_revision(revisions: Sequence[str]) -> str:
    """The revision of several files that have one each."""
    if len(revisions) == 1 and len(revisions[0]) <= 200:
        return revisions[0]
    return "sha256:" + hashlib.sha256("\n".join(revisions).encode()).hexdigest()


def source_changed(source: str, problem: str) -> FailedPrecondition:
    """The error for a source that serves other content than was resolved."""
    return FailedPrecondition(
        f"source {source[:200]!r} has changed since it was resolved: {problem}",
        reason=ErrorReason.SOURCE_CHANGED,
        metadata={"source": source[:200]},
        remedy="Resolve it again.",
    )


def source_unavailable(source: str, problem: str) -> Unavailable:
    """The error for a source that did not answer properly this time."""
    return Unavailable(
        f"source {source[:200]!r}: {problem}",
        reason=ErrorReason.SOURCE_UNAVAILABLE,
        metadata={"source": source[:200]},
        remedy=AWAY_REMEDY,
    )


def source_unusable(source: str, problem: str) -> FailedPrecondition:
    """The error for a source whose answers cannot be used."""
    return FailedPrecondition(
        f"source {source[:200]!r}: {problem}",
        reason=ErrorReason.SOURCE_INVALID,
        metadata={"source": source[:200]},
    )
