"""Parses the header of one GGUF file without doing any reading itself.

`parse_header` is a parser of `moorage_common.modelfiles.ranges`: it asks for bytes and is sent them, until it
returns the `GgufHeader`.

A header is hostile until proven otherwise. Every length in it is held against what the file could still hold
before anything is read or stored; long arrays and strings are stepped over and only counted.
"""

import struct
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from itertools import pairwise

from moorage_common.modelfiles.gguf_cursor import Cursor
from moorage_common.modelfiles.ranges import Need
from moorage_common.modelfiles.tensor_types import TENSOR_TYPES, TensorType

MAX_FILE_BYTES = 1 << 48
MAX_METADATA_KEYS = 8192
MAX_TENSORS = 65_536
MAX_STRINGS = 4 << 20
"""How many strings a file's arrays may hold together: each has to be looked at to find the next."""
MAX_KEPT_STRING_BYTES = 1024
MAX_KEPT_ARRAY = 1024
"""Arrays of more numbers are counted and not kept. llama.cpp takes at most 512 layers."""
MAX_KEPT_NUMBERS = 65_536
"""How many numbers are kept of all arrays together."""
MAX_KEY_BYTES = 1024
MAX_TENSOR_NAME_BYTES = 63
MAX_DIMENSIONS = 4

_STRING = 8
_ARRAY = 9
# The struct format of each scalar type, by its number in the file.
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_OTHER_FORMATS = {
    b"PK\x03\x04": "a zip archive, as PyTorch writes",
    b"vers": "a git-lfs pointer: the file itself was never fetched",
    b"<!DO": "an HTML page",
    b"<htm": "an HTML page",
    b"ggml": "the format before GGUF",
    b"ggjt": "the format before GGUF",
    b"\x1f\x8b\x08": "a gzip archive",
}

Scalar = int | float | bool


@dataclass(frozen=True, slots=True)
class SkippedArray:
    """An array that was stepped over."""

    count: int


MetadataValue = Scalar | str | tuple[Scalar, ...] | SkippedArray | None
"""None stands for a string that was too long to keep."""


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One tensor as the header describes it."""

    name: str
    type: TensorType
    shape: tuple[int, ...]
    """Fastest-varying dimension first, as ggml counts."""
    elements: int
    size_bytes: int
    offset: int
    """From the start of the data section, in bytes."""


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """The header of one GGUF file."""

    file_name: str
    file_bytes: int
    version: int
    metadata: Mapping[str, MetadataValue]
    tensors: tuple[TensorInfo, ...]
    data_offset: int
    """Where the tensors' data starts, in bytes."""


def parse_header(file_name: str, file_bytes: int) -> Generator[Need, bytes, GgufHeader]:
    """Parses one header.

    Args:
        file_name: What the file is called in errors.
        file_bytes: Its whole size.

    Raises:
        FailedPrecondition: MODEL_FILE_INVALID, with what was read.
    """
    cursor = Cursor(file_name, file_bytes)
    if file_bytes > MAX_FILE_BYTES:
        raise cursor.fail(f"it has {file_bytes:,} bytes; no file is believed to be that large")
    version = yield from _parse_version(cursor)
    tensor_count = yield from cursor.u64("the header")
    key_count = yield from cursor.u64("the header")
    # The shortest entry is 13 bytes for a key and 24 for a tensor: counts that cannot fit are refused unread.
    _check_count(cursor, "metadata keys", key_count, limit=MAX_METADATA_KEYS, entry_bytes=13)
    _check_count(cursor, "tensors", tensor_count, limit=MAX_TENSORS, entry_bytes=24)
    metadata = yield from _parse_metadata(cursor, key_count)
    tensors = yield from _parse_tensors(cursor, tensor_count)
    alignment = _alignment(cursor, metadata)
    data_offset = _align(cursor.pos, alignment)
    _check_extents(cursor, tensors, data_offset=data_offset, alignment=alignment)
    return GgufHeader(
        file_name=file_name,
        file_bytes=file_bytes,
        version=version,
        metadata=metadata,
        tensors=tensors,
        data_offset=data_offset,
    )


def _parse_version(cursor: Cursor) -> Generator[Need, bytes, int]:
    if cursor.size < 4:
        raise cursor.fail(f"not GGUF: it has only {cursor.size} bytes")
    magic = yield from cursor.take(min(16, cursor.size), "the magic")
    if not magic.startswith(b"GGUF"):
        known = next((f" ({name})" for start, name in _OTHER_FORMATS.items() if magic.startswith(start)), "")
        raise cursor.fail(f"not GGUF: it begins with {magic.decode('latin-1')!r}{known}")
    cursor.pos = 4
    version = yield from cursor.u32("the header")
    if version and version & 0xFFFF == 0:
        raise cursor.fail("it is big-endian GGUF, which is not supported")
    if version not in {2, 3}:
        raise cursor.fail(f"it is GGUF version {version}; versions 2 and 3 are supported")
    return version


def _check_count(cursor: Cursor, what: str, count: int, *, limit: int, entry_bytes: int) -> None:
    if count > limit:
        raise cursor.fail(f"it claims {count:,} {what}; more than {limit:,} are not believed")
    cursor.require(count * entry_bytes, f"a header with {count:,} {what}")


def _parse_metadata(cursor: Cursor, count: int) -> Generator[Need, bytes, dict[str, MetadataValue]]:
    metadata: dict[str, MetadataValue] = {}
    budget = _Budget(MAX_STRINGS, MAX_KEPT_NUMBERS)
    for index in range(count):
        key = yield from cursor.text(MAX_KEY_BYTES, f"metadata key {index}")
        if not key or key in metadata:
            raise cursor.fail(f"metadata key {index} is {'a duplicate' if key else 'empty'}: {key!r}")
        kind = yield from cursor.u32(f"metadata {key!r}")
        if kind == _ARRAY:
            metadata[key] = yield from _parse_array(cursor, key, budget)
        elif kind == _STRING:
            metadata[key] = yield from _parse_string(cursor, key)
        else:
            metadata[key] = (yield from _parse_numbers(cursor, key, kind, 1))[0]
    return metadata


@dataclass(slots=True)
class _Budget:
    """What is left of the bounds that hold for all of a file's arrays together."""

    strings: int
    numbers: int


def _parse_array(cursor: Cursor, key: str, budget: _Budget) -> Generator[Need, bytes, MetadataValue]:
    what = f"metadata {key!r}"
    kind = yield from cursor.u32(what)
    count = yield from cursor.u64(what)
    if kind == _STRING:
        budget.strings -= count
        if budget.strings < 0:
            raise cursor.fail(f"its arrays hold more than {MAX_STRINGS:,} strings")
        yield from cursor.skip_strings(count, what)
        return SkippedArray(count)
    if count <= MAX_KEPT_ARRAY:
        budget.numbers -= count
        if budget.numbers < 0:
            raise cursor.fail(f"its short arrays hold more than {MAX_KEPT_NUMBERS:,} numbers")
        return (yield from _parse_numbers(cursor, key, kind, count))
    cursor.skip(count * _scalar_bytes(cursor, key, kind), what)
    return SkippedArray(count)


def _parse_string(cursor: Cursor, key: str) -> Generator[Need, bytes, str | None]:
    what = f"metadata {key!r}"
    length = yield from cursor.u64(what)
    if length > MAX_KEPT_STRING_BYTES:
        cursor.skip(length, what)
        return None
    return (yield from cursor.take(length, what)).decode("utf-8", "replace")


def _parse_numbers(
    cursor: Cursor, key: str, kind: int, count: int
) -> Generator[Need, bytes, tuple[Scalar, ...]]:
    size = _scalar_bytes(cursor, key, kind)
    raw = yield from cursor.take(count * size, f"metadata {key!r}")
    return struct.unpack(f"<{count}{_SCALARS[kind]}", raw)


def _scalar_bytes(cursor: Cursor, key: str, kind: int) -> int:
    if kind not in _SCALARS:
        raise cursor.fail(f"metadata {key!r} has the unknown type {kind}")
    return struct.calcsize(f"<{_SCALARS[kind]}")


def _parse_tensors(cursor: Cursor, count: int) -> Generator[Need, bytes, tuple[TensorInfo, ...]]:
    tensors: dict[str, TensorInfo] = {}
    for index in range(count):
        tensor = yield from _parse_tensor(cursor, index)
        if tensor.name in tensors:
            raise cursor.fail(f"tensor {tensor.name!r} is there twice")
        tensors[tensor.name] = tensor
    return tuple(tensors.values())


def _parse_tensor(cursor: Cursor, index: int) -> Generator[Need, bytes, TensorInfo]:
    name = yield from cursor.text(MAX_TENSOR_NAME_BYTES, f"the name of tensor {index}")
    what = f"tensor {name!r}"
    dimensions = yield from cursor.u32(what)
    if not 1 <= dimensions <= MAX_DIMENSIONS:
        raise cursor.fail(f"{what} has {dimensions} dimensions")
    raw = yield from cursor.take(8 * dimensions, what)
    shape: tuple[int, ...] = struct.unpack(f"<{dimensions}Q", raw)
    kind = yield from cursor.u32(what)
    offset = yield from cursor.u64(what)
    if (tensor_type := TENSOR_TYPES.get(kind)) is None:
        raise cursor.fail(f"{what} has the unknown type {kind}")
    elements = 1
    for length in shape:
        elements *= length
    if elements == 0 or shape[0] % tensor_type.block_elements:
        raise cursor.fail(f"{what} has the shape {shape}, which {tensor_type.name} cannot have")
    size = elements // tensor_type.block_elements * tensor_type.block_bytes
    return TensorInfo(
        name=name, type=tensor_type, shape=shape, elements=elements, size_bytes=size, offset=offset
    )


def _alignment(cursor: Cursor, metadata: Mapping[str, MetadataValue]) -> int:
    alignment = metadata.get("general.alignment", 32)
    if not isinstance(alignment, int) or alignment < 1 or alignment & (alignment - 1):
        raise cursor.fail(f"general.alignment is {alignment!r}, which is not a power of two")
    return alignment


def _align(position: int, alignment: int) -> int:
    return -(-position // alignment) * alignment


def _check_extents(
    cursor: Cursor, tensors: tuple[TensorInfo, ...], *, data_offset: int, alignment: int
) -> None:
    """Holds the tensors against each other and against the file: in order, aligned, no gaps, all there."""
    for before, tensor in pairwise((None, *tensors)):
        expected = _align(before.offset + before.size_bytes, alignment) if before else 0
        if tensor is not None and tensor.offset != expected:
            raise cursor.fail(f"tensor {tensor.name!r} is at {tensor.offset:,}, should be at {expected:,}")
    if tensors:
        end = data_offset + tensors[-1].offset + tensors[-1].size_bytes
        if end > cursor.size:
            raise cursor.fail(f"truncated: the tensors need {end:,} bytes, the file has {cursor.size:,}")
