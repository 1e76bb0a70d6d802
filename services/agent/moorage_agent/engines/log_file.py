"""An engine's log: bounded on disk, and read by offsets that stay true when it is cut.

The engine itself writes the file (append mode) and keeps it open, also while no agent runs; so it
cannot be renamed away. Instead its older part is copied aside, and the file is emptied:

    engine.log              what came last
    engine.log.<offset>     what came before, named by the offset of its first byte

Offsets count from the first byte that was ever printed. A line that is printed in the instant
between the copy and the cut is lost; that is the price of an engine that needs no agent to log.
"""

import os
from dataclasses import dataclass
from pathlib import Path

_NAME = "engine.log"
_CHUNK_BYTES = 2**16


@dataclass(frozen=True, slots=True, kw_only=True)
class _Segment:
    path: Path
    start: int
    """Offset of its first byte in the whole log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogChunk:
    """A piece of a log."""

    data: bytes
    next_offset: int
    """Where to read on."""


class LogFile:
    """The log of one engine. Its methods touch the disk, a little at a time."""

    def __init__(self, directory: Path, *, limit_bytes: int = 16 * 2**20) -> None:
        self._directory = directory
        self._limit_bytes = limit_bytes
        self.path = directory / _NAME
        """What the engine writes to."""

    @property
    def exists(self) -> bool:
        """Whether anything was ever to be printed."""
        return self.path.exists()

    @property
    def end(self) -> int:
        """Offset after the last byte."""
        current = self._segments()[-1]
        return current.start + _size(current.path)

    def rotate(self) -> bool:
        """Cuts the log if it is longer than its limit. At most two such lengths are on disk."""
        *old, current = self._segments()
        size = _size(current.path)
        if size <= self._limit_bytes:
            return False
        try:
            self._set_aside(current)
        except OSError:
            # No room for the copy: then its content goes, and an empty one keeps the offsets true.
            self.path.with_name(f"{_NAME}.{current.start + size}").touch()
            os.truncate(current.path, 0)
        for segment in old:
            segment.path.unlink()
        return True

    def _set_aside(self, current: _Segment) -> None:
        partial = self.path.with_name(f"{_NAME}.partial")
        with current.path.open("r+b") as source, partial.open("wb") as target:
            while chunk := source.read(_CHUNK_BYTES):
                target.write(chunk)
            target.flush()
            # The name says where it starts, its size where the rest does: both appear in one step.
            partial.rename(self.path.with_name(f"{_NAME}.{current.start}"))
            os.ftruncate(source.fileno(), 0)

    def read(self, offset: int, *, limit_bytes: int = _CHUNK_BYTES) -> LogChunk:
        """Returns what stands at an offset; what is kept after it, where that has been cut away."""
        segments = self._segments()
        # Past the end the log cannot have been: another log had that offset. Show this one.
        position = offset if offset <= self.end else segments[0].start
        for segment in segments:
            size = _size(segment.path)
            start = max(position, segment.start)
            if start < segment.start + size:
                with segment.path.open("rb") as file:
                    file.seek(start - segment.start)
                    data = file.read(limit_bytes)
                return LogChunk(data=data, next_offset=start + len(data))
        return LogChunk(data=b"", next_offset=max(position, segments[0].start))

    def tail_offset(self, lines: int) -> int:
        """Returns the offset where the last lines start."""
        first, end = self._segments()[0].start, self.end
        # The newline that ends the last line starts none.
        position = end - 1
        while position > first:
            start = max(first, position - _CHUNK_BYTES)
            data = self._range(start, position)
            cut = len(data)
            while (cut := data.rfind(b"\n", 0, cut)) >= 0:
                lines -= 1
                if lines <= 0:
                    return start + cut + 1
            position = start
        return first

    def tail(self, limit_bytes: int, *, since: int = 0) -> str:
        """Returns the last bytes as text; nothing from before an offset."""
        end = self.end
        return self._range(max(since, end - limit_bytes), end).decode(errors="replace")

    def _range(self, start: int, end: int) -> bytes:
        parts = []
        while start < end and (chunk := self.read(start, limit_bytes=end - start)).data:
            parts.append(chunk.data)
            start = chunk.next_offset
        return b"".join(parts)

    def _segments(self) -> list[_Segment]:
        """What is on disk, oldest first; the last is what the engine writes to."""
        old = sorted(
            (
                _Segment(path=path, start=int(path.suffix[1:]))
                for path in self._directory.glob(f"{_NAME}.*")
                if path.suffix[1:].isdigit()
            ),
            key=lambda segment: segment.start,
        )
        start = old[-1].start + _size(old[-1].path) if old else 0
        return [*old, _Segment(path=self.path, start=start)]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
