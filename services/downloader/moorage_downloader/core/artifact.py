"""An immutable set of files at one revision of a source, as the downloader handles it."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class DigestOrigin(StrEnum):
    """Where the SHA-256 of a file comes from. The proto enum has the same names."""

    SOURCE = "SOURCE"
    """The source promised it."""
    GIT_BLOB = "GIT_BLOB"
    """Recorded when the content matched the git blob id that the source promised."""
    FIRST_SIGHT = "FIRST_SIGHT"
    """Recorded when the content was first seen; the source promised nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactFile:
    """One file."""

    path: str
    size_bytes: int
    sha256: str = ""
    """64 hexadecimal digits. Empty: not known before the file has been pulled."""
    git_blob_id: str = ""
    """40 hexadecimal digits. Empty: the source has none."""
    digest_origin: DigestOrigin | None = None
    """None: the SHA-256 is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """The files, and where they come from."""

    source: str
    """Canonical text of a reference that names the revision where the scheme has any."""
    revision: str
    """A commit, an ETag, or a size and time of change."""
    files: tuple[ArtifactFile, ...]
    entry_point: str
    """Path of the file that an engine is told to load."""

    @property
    def size_bytes(self) -> int:
        """Sum of the files' sizes."""
        return sum(file.size_bytes for file in self.files)

    @property
    def id(self) -> str:
        """The artifact's id: the same for the same content of the same source, and for nothing else."""
        return artifact_id(self.source, self.revision, self.files)

    def file(self, path: str) -> ArtifactFile | None:
        """The file at a path; None when there is none."""
        return next((file for file in self.files if file.path == path), None)


def artifact_id(source: str, revision: str, files: Sequence[ArtifactFile]) -> str:
    """16 hexadecimal digits of a digest of the source, its revision and what it promises of its files.

    What is only learned by pulling, as a digest recorded on first sight, must not change the id: it counts only
    when the source promised it.
    """
    digest = hashlib.sha256()
    for part in (source, revision):
        digest.update(f"{len(part)} {part}\n".encode())
    for file in files:
        promised = file.sha256 if file.digest_origin is DigestOrigin.SOURCE else ""
        digest.update(
            f"{len(file.path)} {file.path} {file.size_bytes} {promised} {file.git_blob_id}\n".encode()
        )
    return digest.hexdigest()[:16]
