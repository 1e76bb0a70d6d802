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

CHUNK_BYTES = 1 << 20
"""How much is read at once: a small model's header whole, a large one's in a few pieces."""


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
    parser = parse_header(reader.name, reader.size)
    try:
        need = next(parser)
        while True:
            need = parser.send(await reader.read(need.offset, _length(need, reader.size)))
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
    parser = parse_header(name, size)
    try:
        need = next(parser)
        while True:
            file.seek(need.offset)
            need = parser.send(file.read(_length(need, size)) or b"")
    except StopIteration as done:
        return _result(done)


def _result(done: StopIteration) -> GgufHeader:
    header: GgufHeader = done.value
    return header


def _length(need: Need, size: int) -> int:
    return min(max(need.length, CHUNK_BYTES), size - need.offset)
