"""Reads the facts of GGUF models, from local files and from byte ranges of remote ones.

facts = read_gguf_files([Path("model.gguf")])
facts = await read_gguf_ranges([reader])
"""

from collections.abc import Sequence
from io import RawIOBase
from pathlib import Path
from typing import Protocol

from moorage_common.modelfiles.gguf_cursor import Need
from moorage_common.modelfiles.gguf_facts import GgufFacts, gguf_facts
from moorage_common.modelfiles.gguf_header import GgufHeader, parse_header

FIRST_CHUNK_BYTES = 64 << 10
"""How much is read first: a small header whole. Each piece after it is twice as long."""
LARGEST_CHUNK_BYTES = 4 << 20


class RangeReader(Protocol):
    """A file of known size whose bytes can be had from anywhere in it."""

    @property
    def name(self) -> str:
        """What the file is called in errors."""
        ...

    @property
    def size(self) -> int:
        """Bytes in the whole file."""
        ...

    async def read(self, offset: int, length: int) -> bytes:
        """Returns the bytes of that range, which lies within the file; fewer only if it turns out shorter."""
        ...


async def read_gguf_ranges(readers: Sequence[RangeReader]) -> GgufFacts:
    """Returns the facts of a model, given all of its shards in order.

    Raises:
        FailedPrecondition: MODEL_FILE_INVALID or ARCHITECTURE_UNSUPPORTED, with what was read.
    """
    return gguf_facts([await read_gguf_header(reader) for reader in readers])


async def read_gguf_header(reader: RangeReader) -> GgufHeader:
    """Returns one file's header; raises as `read_gguf_ranges`."""
    parser, chunk_bytes = parse_header(reader.name, reader.size), FIRST_CHUNK_BYTES
    try:
        need = next(parser)
        while True:
            need = parser.send(await reader.read(need.offset, _length(need, reader.size, chunk_bytes)))
            chunk_bytes = min(2 * chunk_bytes, LARGEST_CHUNK_BYTES)
    except StopIteration as done:
        return _result(done)


def read_gguf_files(paths: Sequence[Path]) -> GgufFacts:
    """Returns the facts of a model on this machine, given all of its shards in order.

    Raises:
        FailedPrecondition: MODEL_FILE_INVALID or ARCHITECTURE_UNSUPPORTED, with what was read.
        OSError: A file cannot be read.
    """
    headers = []
    for path in paths:
        with path.open("rb", buffering=0) as file:
            headers.append(_read_local(path.name, path.stat().st_size, file))
    return gguf_facts(headers)


def _read_local(name: str, size: int, file: RawIOBase) -> GgufHeader:
    parser, chunk_bytes = parse_header(name, size), FIRST_CHUNK_BYTES
    try:
        need = next(parser)
        while True:
            file.seek(need.offset)
            need = parser.send(file.read(_length(need, size, chunk_bytes)) or b"")
            chunk_bytes = min(2 * chunk_bytes, LARGEST_CHUNK_BYTES)
    except StopIteration as done:
        return _result(done)


def _result(done: StopIteration) -> GgufHeader:
    header: GgufHeader = done.value
    return header


def _length(need: Need, size: int, chunk_bytes: int) -> int:
    return min(max(need.length, chunk_bytes), size - need.offset)
