"""Artifacts as plain directories: every file a hard link to its blob, under the path that its engine expects.

A file appears in the directory once its content is verified; ``copy.json`` appears once every file
has. So whatever moment the agent is killed in, what is found is true:

    no directory ──add_file…──► some files ──finish──► copy.json: READY
"""

import hashlib
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from moorage_agent.core.domain import CopyAssignment, FileEntry
from moorage_agent.core.measure import StorageFigures
from moorage_agent.core.paths import check_path, check_paths
from moorage_agent.files import file_size, read_json, write_json
from moorage_agent.storage.blobs import BlobStore, PartialBlob
from moorage_agent.storage.layout import Layout
from moorage_common.core.errors import ErrorReason, FailedPrecondition, ResourceExhausted, Shortage
from moorage_common.core.names import check_id

_RECORD = "copy.json"
_FILES = "files"
_SPARE_BYTES = 256 * 2**20
"""Never filled with artifacts: logs, and others on the machine, need some room too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredArtifact:
    """An artifact that takes room on the node."""

    artifact: str
    size_bytes: int
    """Size of the files that are there."""
    ready: bool
    """Whether every file is there and verified."""
    used_at: float
    """When it was last put to use, in seconds since 1970."""


class ArtifactStore:
    """The artifacts of one node. Its methods touch the disk: run them in threads."""

    def __init__(self, layout: Layout, blobs: BlobStore) -> None:
        self._layout = layout
        self._blobs = blobs

    def recover(self) -> list[CopyAssignment]:
        """Returns the artifacts that are whole, after a start. Called once, before anything else.

        A file that is no longer what it was (missing, or of another size) makes its artifact
        incomplete; the bytes go to quarantine, and the next fetch brings the file again.
        """
        for leftover in self._layout.artifacts.glob("*/*.tmp"):
            leftover.unlink()
        whole = []
        for directory in self._directories():
            copy = self._read_record(directory)
            if copy is not None and self._is_sound(copy):
                whole.append(copy)
            else:
                (directory / _RECORD).unlink(missing_ok=True)
        self._blobs.collect()
        return whole

    def check(self, copy: CopyAssignment) -> None:
        """Checks that an artifact can be stored here at all.

        Raises:
            InvalidArgument: Its id, or a path of its files, is refused.
        """
        check_id(copy.artifact, field="artifact")
        check_paths(file.path for file in copy.files)

    def has_file(self, artifact: str, file: FileEntry) -> bool:
        """Whether a file is there and verified. Takes it from another artifact where that has it."""
        link = self._file(artifact, file.path)
        if file_size(link) == file.size_bytes:
            return True
        return bool(file.sha256) and self._blobs.link(file.sha256, link, size_bytes=file.size_bytes)

    def open_partial(self, artifact: str, file: FileEntry) -> PartialBlob:
        """Opens what has arrived so far of a file. Reads all of that."""
        return self._blobs.open_partial(partial_key(artifact, file), size_bytes=file.size_bytes)

    def add_file(self, artifact: str, file: FileEntry, partial: PartialBlob, *, sha256: str) -> None:
        """Takes a file that has arrived.

        Raises:
            DataLoss: Its content is not what the digest promises (DIGEST_MISMATCH).
            ResourceExhausted: The disk is full (DISK_FULL).
        """
        self._blobs.commit(partial, sha256=sha256, link=self._file(artifact, file.path))

    def finish(self, copy: CopyAssignment) -> None:
        """Marks an artifact as whole, durably. Every file must have been added."""
        record = {
            "artifact": copy.artifact,
            "files": [{"path": file.path, "size_bytes": file.size_bytes} for file in copy.files],
        }
        write_json(self._layout.artifact(copy.artifact) / _RECORD, record)

    def open_path(self, artifact: str, path: str) -> Path:
        """Returns where a file of a whole artifact lies, and notes that it was used.

        Raises:
            FailedPrecondition: It is not there (ARTIFACT_NOT_READY).
        """
        directory = self._layout.artifact(check_id(artifact, field="artifact"))
        file = self._file(artifact, path)
        # Resolved, so that no link inside the directory leads out of it.
        inside = file.resolve().is_relative_to(directory.resolve())
        if not (inside and file.is_file() and (directory / _RECORD).is_file()):
            raise FailedPrecondition(
                f"{path} of artifact {artifact} is not on this worker",
                reason=ErrorReason.ARTIFACT_NOT_READY,
                resource=f"artifacts/{artifact}",
            )
        (directory / _RECORD).touch()
        return file

    def drop(self, artifact: str) -> None:
        """Removes an artifact, and the content that no other artifact has."""
        directory = self._layout.artifact(check_id(artifact, field="artifact"))
        (directory / _RECORD).unlink(missing_ok=True)
        shutil.rmtree(directory, ignore_errors=True)
        self._blobs.collect()

    def discard_partial(self, artifact: str, file: FileEntry) -> None:
        """Drops what has arrived so far of a file. Nobody may be fetching it."""
        self._blobs.discard_partial(partial_key(artifact, file))

    def sweep(self, wanted: Iterable[CopyAssignment]) -> None:
        """Drops what is there of artifacts that are neither whole nor wanted."""
        copies = list(wanted)
        names = {copy.artifact for copy in copies}
        for stored in self.stored():
            if not stored.ready and stored.artifact not in names:
                self.drop(stored.artifact)
        self._blobs.discard_partials(
            but={partial_key(copy.artifact, file) for copy in copies for file in copy.files}
        )

    def make_room(self, copy: CopyAssignment, *, evictable: Iterable[str]) -> list[str]:
        """Makes sure that what is missing of an artifact fits the disk, before its first byte comes.

        Args:
            copy: The artifact.
            evictable: Whole artifacts that may be dropped for it; the longest unused go first.

        Returns:
            The artifacts that were dropped.

        Raises:
            ResourceExhausted: It does not fit (DISK_FULL).
        """
        needed = self._missing_bytes(copy) + _SPARE_BYTES
        stored = {item.artifact: item for item in self.stored() if item.ready}
        candidates = [stored[artifact] for artifact in evictable if artifact in stored]
        dropped = []
        for candidate in sorted(candidates, key=lambda item: item.used_at):
            if self._blobs.free_bytes() >= needed:
                break
            self.drop(candidate.artifact)
            dropped.append(candidate.artifact)
        free = self._blobs.free_bytes()
        if free < needed:
            raise _disk_full(copy.artifact, needed=needed, free=free)
        return dropped

    def stored(self) -> list[StoredArtifact]:
        """Returns every artifact that takes room, whole or not, by id."""
        return [self._read_stored(directory) for directory in self._directories()]

    def figures(self) -> StorageFigures:
        """Measures room for artifacts now."""
        return StorageFigures(
            capacity_bytes=self._blobs.capacity_bytes(),
            free_bytes=self._blobs.free_bytes(),
            artifact_bytes=self._blobs.used_bytes(),
        )

    def is_whole(self, copy: CopyAssignment) -> bool:
        """Whether every file of a finished artifact is there, with the size that it should have."""
        record = self._layout.artifact(copy.artifact) / _RECORD
        return record.is_file() and all(
            file_size(self._file(copy.artifact, file.path)) == file.size_bytes for file in copy.files
        )

    def _missing_bytes(self, copy: CopyAssignment) -> int:
        return sum(
            file.size_bytes - self._blobs.partial_bytes(partial_key(copy.artifact, file))
            for file in copy.files
            if not self.has_file(copy.artifact, file)
        )

    def _directories(self) -> Iterator[Path]:
        return (path for path in sorted(self._layout.artifacts.iterdir()) if path.is_dir())

    def _read_stored(self, directory: Path) -> StoredArtifact:
        record = directory / _RECORD
        files = (directory / _FILES).rglob("*")
        return StoredArtifact(
            artifact=directory.name,
            size_bytes=sum(path.stat().st_size for path in files if path.is_file()),
            ready=record.is_file(),
            used_at=record.stat().st_mtime if record.is_file() else 0.0,
        )

    def _read_record(self, directory: Path) -> CopyAssignment | None:
        record = read_json(directory / _RECORD)
        try:
            files = tuple(
                FileEntry(path=item["path"], size_bytes=item["size_bytes"])
                for item in (record or {})["files"]
            )
        except (KeyError, TypeError):
            return None
        return CopyAssignment(artifact=directory.name, files=files)

    def _is_sound(self, copy: CopyAssignment) -> bool:
        sound = True
        for file in copy.files:
            link = self._file(copy.artifact, file.path)
            found = file_size(link)
            if found is not None and found != file.size_bytes:
                self._blobs.quarantine(link)
            sound = sound and found == file.size_bytes
        return sound

    def _file(self, artifact: str, path: str) -> Path:
        return self._layout.artifact(artifact) / _FILES / check_path(path)


def partial_key(artifact: str, file: FileEntry) -> str:
    """Names a file while it arrives: by its content where that is known, so that two artifacts share it."""
    return file.sha256 or f"unknown-{hashlib.sha256(f'{artifact}/{file.path}'.encode()).hexdigest()}"


def _disk_full(artifact: str, *, needed: int, free: int) -> ResourceExhausted:
    described = f"{needed} bytes needed, {free} bytes free"
    return ResourceExhausted(
        f"the worker's disk has too little room for artifact {artifact}: {described}",
        reason=ErrorReason.DISK_FULL,
        remedy="Free space on the file system that holds the agent's data directory.",
        shortages=[Shortage(subject="storage", description=described)],
    )
