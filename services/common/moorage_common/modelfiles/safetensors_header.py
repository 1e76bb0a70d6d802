"""Parses the header of one safetensors file without doing any reading itself.

    8 bytes     length of the header
    the header  JSON: {"<tensor>": {"dtype": "BF16", "shape": [2, 3], "data_offsets": [0, 12]}, …}
    the data    the tensors, without gaps, to the file's end

`parse_safetensors` is a parser of `moorage_common.modelfiles.ranges`. It hands over tensors as they come and keeps
none, so that memory does not grow with the header. It refuses what the format's own library refuses.
"""

import reprlib
import struct
from collections.abc import Callable, Generator
from typing import NamedTuple

from moorage_common.core.errors import ErrorReason, FailedPrecondition
from moorage_common.modelfiles.json_reader import JsonReader
from moorage_common.modelfiles.ranges import Need

MAX_HEADER_BYTES = 100_000_000
"""The format's own bound."""
MAX_FILE_BYTES = 1 << 48
MAX_DIMENSIONS = 64

DTYPE_BITS = {
    "BOOL": 8,
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    "U8": 8,
    "I8": 8,
    "F8_E5M2": 8,
    "F8_E4M3": 8,
    "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8,
    "F8_E5M2FNUZ": 8,
    "I16": 16,
    "U16": 16,
    "F16": 16,
    "BF16": 16,
    "I32": 32,
    "U32": 32,
    "F32": 32,
    "C64": 64,
    "F64": 64,
    "I64": 64,
    "U64": 64,
}
"""Bits of one element, by the number formats that there are."""

_LENGTH = struct.Struct("<Q")
_OTHER_FORMATS = {
    b"GGUF": "it is GGUF",
    b"PK\x03\x04": "it is a zip archive, as PyTorch writes",
    b"version ": "it is a git-lfs pointer: the file itself was never fetched",
    b"<!DOCTYP": "it is an HTML page",
    b"<!doctyp": "it is an HTML page",
    b"<html": "it is an HTML page",
}
_SHOWN = reprlib.Repr()
_SHOWN.maxdict = _SHOWN.maxlist = 8
_SHOWN.maxstring = _SHOWN.maxlong = 80


class Tensor(NamedTuple):
    """One tensor as the header describes it."""

    name: str
    dtype: str
    shape: list[int]
    elements: int
    size_bytes: int


def invalid(file_name: str, problem: str) -> FailedPrecondition:
    """The error for a file of a model in safetensors that cannot be what it should be."""
    return FailedPrecondition(
        f"{file_name} is not usable: {problem}",
        reason=ErrorReason.MODEL_FILE_INVALID,
        metadata={"file": file_name},
        remedy="Name a whole model in safetensors with its config.json; files that were cut short or mixed up"
        " have to be uploaded or downloaded again.",
    )


def show(value: object) -> str:
    """A value from a file as errors show it: never long, whatever it is."""
    return _SHOWN.repr(value)


def parse_safetensors(
    file_name: str, file_bytes: int, take: Callable[[Tensor], None]
) -> Generator[Need, bytes, None]:
    """Parses one header, handing over each tensor.

    Args:
        file_name: What the file is called in errors.
        file_bytes: Its whole size.
        take: Gets each tensor, in the header's order.

    Raises:
        FailedPrecondition: MODEL_FILE_INVALID, with what was read.
    """
    if not _LENGTH.size < file_bytes <= MAX_FILE_BYTES:
        raise invalid(file_name, f"not safetensors: it has {file_bytes:,} bytes")
    start = yield Need(0, _LENGTH.size)
    data_offset = _LENGTH.size + _header_length(file_name, file_bytes, start)
    extents = _Extents(file_name, file_bytes - data_offset)

    def member(name: str, value: object) -> None:
        if name == "__metadata__":
            _check_metadata(file_name, value)
        else:
            take(_tensor(extents, name, value))

    json = JsonReader(
        _LENGTH.size,
        data_offset,
        lambda problem: invalid(file_name, f"its header is {problem}"),
        sent=start[_LENGTH.size :],
    )
    yield from json.members(member)
    yield from json.finish()
    extents.check_whole()


def _header_length(file_name: str, file_bytes: int, start: bytes) -> int:
    if len(start) < _LENGTH.size:
        raise invalid(file_name, f"truncated: only {len(start)} bytes could be read")
    for magic, said in _OTHER_FORMATS.items():
        if start.startswith(magic):
            raise invalid(file_name, f"not safetensors: {said}")
    length: int = _LENGTH.unpack_from(start)[0]
    if length > MAX_HEADER_BYTES:
        raise invalid(
            file_name,
            f"not safetensors: it begins with {start[:8]!r}, which would be a header of {length:,} bytes;"
            f" {MAX_HEADER_BYTES:,} are allowed",
        )
    if _LENGTH.size + length > file_bytes:
        raise invalid(
            file_name,
            f"truncated: its header ends at byte {_LENGTH.size + length:,}, the file has {file_bytes:,}",
        )
    return length


def _check_metadata(file_name: str, value: object) -> None:
    if value is not None and not (
        isinstance(value, dict) and all(isinstance(entry, str) for entry in value.values())
    ):
        raise invalid(file_name, "the __metadata__ in its header is not strings by name")


def _tensor(extents: "_Extents", name: str, value: object) -> Tensor:
    try:
        # Names without a value, and values that cannot be taken apart, are the same problem.
        dtype, shape, (begin, end) = value["dtype"], value["shape"], value["data_offsets"]  # type: ignore[index]
        bits = DTYPE_BITS[dtype]
        elements = _product(shape)
        size = end - begin
    except (KeyError, TypeError, ValueError) as error:
        raise extents.fail(f"it describes tensor {name[:200]!r} as {show(value)}") from error
    if type(begin) is not int or type(end) is not int or size << 3 != elements * bits:
        raise extents.fail(
            f"tensor {name[:200]!r} is {dtype} of shape {shape}, {elements * bits:,} bits,"
            f" but lies from byte {show(begin)} to {show(end)}"
        )
    extents.add(name, begin, end)
    return Tensor(name, dtype, shape, elements, size)


def _product(shape: object) -> int:
    if type(shape) is not list or len(shape) > MAX_DIMENSIONS:
        raise ValueError
    elements = 1
    for length in shape:
        if type(length) is not int or not 0 <= length <= MAX_FILE_BYTES:
            raise ValueError
        elements *= length
    return elements


class _Extents:
    """Where the tensors of a file lie: next to each other, from the start of the data to the file's end.

    Most headers list tensors in the order in which they lie; then there is one run.
    """

    def __init__(self, file_name: str, data_bytes: int) -> None:
        self._file_name = file_name
        self._data_bytes = data_bytes
        self._runs: list[tuple[int, int, str]] = []
        self._begin = self._end = 0
        self._first = ""

    def fail(self, problem: str) -> FailedPrecondition:
        """The error for what the header says."""
        return invalid(self._file_name, problem)

    def add(self, name: str, begin: int, end: int) -> None:
        """Adds a tensor, given where it begins and ends within the data."""
        if begin != self._end:
            self._runs.append((self._begin, self._end, self._first))
            self._begin, self._first = begin, name
        self._end = end

    def check_whole(self) -> None:
        """Raises unless the tensors fill the data."""
        position = 0
        for begin, end, name in sorted([*self._runs, (self._begin, self._end, self._first)]):
            if begin != position:
                problem = "overlaps the one before it" if begin < position else "leaves a gap before it"
                raise self.fail(
                    f"tensor {name[:200]!r} {problem}: it lies at {begin:,}, should be at {position:,}"
                )
            position = end
        if position > self._data_bytes:
            raise self.fail(
                f"truncated: its tensors have {position:,} bytes, the file has {self._data_bytes:,} for them"
            )
        if position < self._data_bytes:
            raise self.fail(f"{self._data_bytes - position:,} bytes come after its tensors")
