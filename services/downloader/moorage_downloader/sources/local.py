"""``file:`` sources: models on the downloader's own disk. The revision is a size and a time of change.

A folder means the one model in it, and is pinned to that model's entry point.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from itertools import chain, islice
from pathlib import Path
from stat import S_ISREG

from moorage_common.core.errors import ErrorReason, PermissionDenied
from moorage_common.modelfiles.config_keys import CONFIG_NAME
from moorage_common.modelfiles.shards import shard_paths
from moorage_downloader.core.artifact import Artifact, ArtifactFile
from moorage_downloader.core.file_names import check_file_names
from moorage_downloader.core.selection import not_found, select_model
from moorage_downloader.core.source_ref import LocalRef
from moorage_downloader.sources.contract import (
    OpenedFile,
    combined_revision,
    source_changed,
    source_unavailable,
    source_unusable,
)

_CHUNK_BYTES = 1 << 20
_MAX_LISTED = 10_000
"""Files in a folder and the folders in it."""


class LocalSource:
    """Reads files on this machine.

    Args:
        root: The folder that sources must be under, also once symbolic links are followed.
    """

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()

    async def resolve(self, ref: LocalRef) -> Artifact:
        """Pins a path to what is there now."""
        return await asyncio.to_thread(self._resolve, ref)

    async def confirm(self, ref: LocalRef, artifact: Artifact) -> None:
        """Looks again."""
        now = await self.resolve(ref)
        if now.revision != artifact.revision:
            raise source_changed(str(ref), f"its revision is {now.revision!r}, was {artifact.revision!r}")

    @asynccontextmanager
    async def open(
        self,
        ref: LocalRef,
        artifact: Artifact,
        file: ArtifactFile,
        *,
        offset: int = 0,
        length: int | None = None,
        validator: str = "",
    ) -> AsyncIterator[OpenedFile]:
        """Opens a file of the model."""
        descriptor = await asyncio.to_thread(self._open, ref, file.path)
        try:
            current = _revision(os.fstat(descriptor))
            end = file.size_bytes if length is None else min(file.size_bytes, offset + length)
            start = offset if validator in {"", current} else 0
            chunks = self._chunks(artifact, descriptor, start, end)
            yield OpenedFile(offset=start, validator=current, chunks=chunks)
        finally:
            os.close(descriptor)

    @staticmethod
    async def _chunks(artifact: Artifact, descriptor: int, start: int, end: int) -> AsyncIterator[bytes]:
        before = _revision(os.fstat(descriptor))
        while start < end:
            length = min(_CHUNK_BYTES, end - start)
            chunk = await asyncio.to_thread(os.pread, descriptor, length, start)
            if not chunk or _revision(os.fstat(descriptor)) != before:
                raise source_changed(artifact.source, "it was written to while it was read")
            start += len(chunk)
            yield chunk

    def _resolve(self, ref: LocalRef) -> Artifact:
        path, source = Path(ref.path), str(ref)
        if self._is_folder(ref):
            selection = select_model(self._list(path, source), wanted="", source=source)
            return self._resolve(LocalRef(path=f"{path}/{selection.entry_point}"))
        if path.name == CONFIG_NAME or path.suffix == ".safetensors":
            selection = select_model(self._list(path.parent, source), wanted=path.name, source=source)
            return self._pin(LocalRef(path=f"{path.parent}/{selection.entry_point}"), selection.paths)
        return self._pin(ref, shard_paths(path.name))

    def _pin(self, ref: LocalRef, names: Sequence[str]) -> Artifact:
        check_file_names(names)
        stats = [self._stat(ref, name) for name in names]
        return Artifact(
            source=str(ref),
            revision=combined_revision([_revision(stat) for stat in stats]),
            files=tuple(
                ArtifactFile(path=name, size_bytes=stat.st_size)
                for name, stat in zip(names, stats, strict=True)
            ),
            entry_point=names[0],
        )

    def _is_folder(self, ref: LocalRef) -> bool:
        with _explained(str(ref), Path(ref.path).name):
            path = Path(ref.path).resolve(strict=True)
            self._check_inside(path, str(ref))
            return path.is_dir()

    def _list(self, folder: Path, source: str) -> list[str]:
        """The paths of all files in a folder, and in the folders in it."""
        with _explained(source, folder.name):
            self._check_inside(folder.resolve(strict=True), source)
            listed = list(islice(chain(folder.glob("*"), folder.glob("*/*")), _MAX_LISTED + 1))
            if len(listed) > _MAX_LISTED:
                raise source_unusable(source, f"more than {_MAX_LISTED:,} files are in the folder")
            return [path.relative_to(folder).as_posix() for path in listed if path.is_file()]

    def _check_inside(self, path: Path, source: str) -> None:
        if not path.is_relative_to(self._root):
            raise source_unusable(source, "it is not under the folder that file: sources may come from")

    def _stat(self, ref: LocalRef, name: str) -> os.stat_result:
        descriptor = self._open(ref, name)
        try:
            return os.fstat(descriptor)
        finally:
            os.close(descriptor)

    def _open(self, ref: LocalRef, name: str) -> int:
        source = str(ref)
        with _explained(source, name):
            path = (Path(ref.path).parent / name).resolve(strict=True)
            self._check_inside(path, source)
            # A pipe would block the open, a device may be endless: only plain files pass.
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        if not S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise source_unusable(source, f"{name!r} is not a plain file")
        return descriptor


@contextmanager
def _explained(source: str, name: str) -> Iterator[None]:
    """Turns the operating system's errors about a file into those of sources."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as error:
        raise not_found(source, f"there is no file {name!r}") from error
    except PermissionError as error:
        raise PermissionDenied(
            f"source {source!r}: the downloader may not read it",
            reason=ErrorReason.SOURCE_DENIED,
            metadata={"source": source},
        ) from error
    except OSError as error:
        raise source_unavailable(source, error.strerror or "it cannot be read") from error
    except RuntimeError as error:
        # What pathlib makes of them before Python 3.13.
        raise source_unusable(source, f"{name!r} is a loop of symbolic links") from error


def _revision(stat: os.stat_result) -> str:
    return f"{stat.st_size} bytes of {stat.st_mtime_ns}"
