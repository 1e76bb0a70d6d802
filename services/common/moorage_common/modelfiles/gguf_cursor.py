"""A position in a file that is read piece by piece, by somebody else, under bounds."""

import struct
from collections.abc import Generator

from moorage_common.core.errors import ErrorReason, FailedPrecondition
from moorage_common.modelfiles.ranges import Need

MAX_HEADER_BYTES = 256 << 20
"""No header may be longer. Those of the largest vocabularies are below 32 MiB."""

_U32 = struct.Struct("<I")
_U64 = struct.Struct("<Q")


def invalid(file_name: str, problem: str) -> FailedPrecondition:
    """The error for a file that cannot be what it should be."""
    return FailedPrecondition(
        f"{file_name} is not a usable model file: {problem}",
        reason=ErrorReason.MODEL_FILE_INVALID,
        metadata={"file": file_name},
        remedy="Name a whole GGUF file; one that was cut short has to be uploaded or downloaded again.",
    )


class Cursor:
    """A position in the file, and the bytes around it that have been sent so far."""

    def __init__(self, file_name: str, size: int) -> None:
        self.file_name = file_name
        self.size = size
        self.pos = 0
        self._window = b""
        self._start = 0

    def fail(self, problem: str) -> FailedPrecondition:
        """The error for what was found here."""
        return invalid(self.file_name, problem)

    def require(self, length: int, what: str) -> None:
        """Raises if the file, or what is allowed of a header, ends within the next so many bytes."""
        end = self.pos + length
        if end > self.size:
            raise self.fail(f"truncated: {what} needs {end:,} bytes, the file has {self.size:,}")
        if end > MAX_HEADER_BYTES:
            raise self.fail(f"{what} reaches past {MAX_HEADER_BYTES >> 20} MiB: no header is that long")

    def take(self, length: int, what: str) -> Generator[Need, bytes, bytes]:
        """Returns the next so many bytes and steps over them."""
        self.require(length, what)
        at = self.pos - self._start
        if at + length > len(self._window):
            yield from self._refill(length)
            at = 0
        self.pos += length
        return self._window[at : at + length]

    def skip(self, length: int, what: str) -> None:
        """Steps over the next so many bytes without looking at them."""
        self.require(length, what)
        self.pos += length

    def skip_strings(self, count: int, what: str) -> Generator[Need, bytes, None]:
        """Steps over an array of strings: 8 bytes of length before each."""
        self.require(8 * count, what)
        while count:
            at, last = self.pos - self._start, len(self._window) - 8
            window, length_at = self._window, _U64.unpack_from
            if at > last:
                self.require(8, what)
                yield from self._refill(8)
                continue
            while count and at <= last:
                at += 8 + length_at(window, at)[0]
                count -= 1
            self.pos = self._start + at
            self.require(0, what)

    def _refill(self, length: int) -> Generator[Need, bytes, None]:
        window = yield Need(self.pos, length)
        if len(window) < length:
            end, got = self.pos + length, self.pos + len(window)
            raise self.fail(f"truncated: the header needs {end:,} bytes, only {got:,} could be read")
        self._window, self._start = window, self.pos

    def u32(self, what: str) -> Generator[Need, bytes, int]:
        """Returns the next unsigned 32-bit number."""
        value: int = _U32.unpack((yield from self.take(4, what)))[0]
        return value

    def u64(self, what: str) -> Generator[Need, bytes, int]:
        """Returns the next unsigned 64-bit number."""
        value: int = _U64.unpack((yield from self.take(8, what)))[0]
        return value

    def text(self, limit: int, what: str) -> Generator[Need, bytes, str]:
        """Returns the next string, 8 bytes of length and then UTF-8, of at most so many bytes."""
        length = yield from self.u64(what)
        self.require(length, what)
        if length > limit:
            raise self.fail(f"{what} has {length:,} bytes, more than the {limit} allowed")
        raw = yield from self.take(length, what)
        return raw.decode("utf-8", "replace")
