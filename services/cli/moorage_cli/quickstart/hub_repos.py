"""Folders as the hub sees them: repositories, revisions, files with the digests that the hub promises.

``<root>/<org>/<name>/`` is the ``main`` of repository ``<org>/<name>``; ``<root>/<org>/<name>@<revision>/`` is
another branch of it. A commit id is a digest of what the folder holds, so it changes exactly when that does.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

LFS_THRESHOLD_BYTES = 10 << 20
"""Files of this size are kept in LFS whatever they are called; a smaller one when its name is a weight file's."""
_LFS_SUFFIXES = frozenset({".gguf", ".safetensors", ".bin"})


@dataclass(frozen=True, slots=True)
class RepoFile:
    """One file of a repository."""

    path: str
    """Relative to the repository, with slashes."""
    location: Path
    size: int
    sha256: str
    git_blob_id: str
    is_lfs: bool

    @property
    def etag(self) -> str:
        """What the hub gives as the file's ETag."""
        return self.sha256 if self.is_lfs else self.git_blob_id


@dataclass(frozen=True, slots=True)
class Repo:
    """A repository at one revision."""

    name: str
    """``<org>/<name>``"""
    commit: str
    files: tuple[RepoFile, ...]

    def file(self, path: str) -> RepoFile | None:
        """The file at a path; None when there is none."""
        return next((file for file in self.files if file.path == path), None)


class RepoFolder:
    """The repositories under one folder. Files are read again whenever their size or time changed."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._files: dict[tuple[Path, int, int], tuple[str, str]] = {}

    def find(self, name: str, revision: str) -> Repo | None:
        """Returns a repository at a branch or commit; None when there is no such revision."""
        for branch, folder in self._branches(name):
            repo = self._read(name, folder)
            if revision in {branch, repo.commit}:
                return repo
        return None

    def exists(self, name: str) -> bool:
        """Whether there is such a repository at any revision."""
        return any(True for _ in self._branches(name))

    def branches(self, name: str) -> dict[str, str]:
        """The commit of each branch of a repository."""
        return {branch: self._read(name, folder).commit for branch, folder in self._branches(name)}

    def by_sha256(self, sha256: str) -> RepoFile | None:
        """Returns a file by its content."""
        for location in sorted(self.root.glob("*/*/**/*")):
            if location.is_file() and self._digests(location)[0] == sha256:
                return self._file(location.name, location)
        return None

    def _branches(self, name: str) -> Iterator[tuple[str, Path]]:
        main = self.root / name
        if main.is_dir():
            yield "main", main
        for folder in sorted(main.parent.glob(f"{main.name}@*")):
            yield folder.name.partition("@")[2], folder

    def _read(self, name: str, folder: Path) -> Repo:
        locations = sorted(path for path in folder.rglob("*") if path.is_file())
        files = tuple(self._file(location.relative_to(folder).as_posix(), location) for location in locations)
        listing = "\n".join(f"{file.path} {file.sha256}" for file in files)
        commit = hashlib.sha1(listing.encode(), usedforsecurity=False).hexdigest()
        return Repo(name=name, commit=commit, files=files)

    def _file(self, path: str, location: Path) -> RepoFile:
        sha256, git_blob_id = self._digests(location)
        size = location.stat().st_size
        return RepoFile(
            path=path,
            location=location,
            size=size,
            sha256=sha256,
            git_blob_id=git_blob_id,
            is_lfs=location.suffix in _LFS_SUFFIXES or size >= LFS_THRESHOLD_BYTES,
        )

    def _digests(self, location: Path) -> tuple[str, str]:
        stat = location.stat()
        key = (location, stat.st_size, stat.st_mtime_ns)
        if key not in self._files:
            self._files[key] = _digest(location, stat.st_size)
        return self._files[key]


def _digest(location: Path, size: int) -> tuple[str, str]:
    sha256 = hashlib.sha256()
    # Git names a blob by the SHA-1 of its size and content.
    git = hashlib.sha1(f"blob {size}\0".encode(), usedforsecurity=False)
    with location.open("rb") as file:
        while chunk := file.read(1 << 20):
            sha256.update(chunk)
            git.update(chunk)
    return sha256.hexdigest(), git.hexdigest()
