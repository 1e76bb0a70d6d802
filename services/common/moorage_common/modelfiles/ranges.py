"""How a parser of headers gets its bytes without reading: it says what it needs, and whoever drives it reads.

A parser is a generator: it yields a `Need` and is sent the bytes, until it returns what it found. Whoever drives
it decides where bytes come from, so that a local file and ranges of a remote one share the parser's code.
"""

import asyncio
import os
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

FIRST_CHUNK_BYTES = 64 << 10
"""How much is read first: a small header whole. Each piece after it is twice as long."""
LARGEST_CHUNK_BYTES = 4 << 20
_FILES_AT_ONCE = 8

ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True)
class Need:
    """What a parser must see next."""

    offset: int
    """Where in the file, in bytes."""
    length: int
    """At least how many bytes, always within the file. More are welcome."""


Parser = Generator[Need, bytes, ResultT]


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


async def parse_ranges(
    reader: RangeReader, parser: Parser[ResultT], *, largest_chunk: int = LARGEST_CHUNK_BYTES
) -> ResultT:
    """Returns what a parser finds in a file whose ranges can be read. Raises what either raises."""
    chunk = min(FIRST_CHUNK_BYTES, largest_chunk)
    try:
        need = next(parser)
        while True:
            need = parser.send(await reader.read(need.offset, _length(need, reader.size, chunk)))
            chunk = min(2 * chunk, largest_chunk)
    except StopIteration as done:
        result: ResultT = done.value
        return result


async def parse_all(
    jobs: Iterable[tuple[RangeReader, Parser[ResultT]]], *, largest_chunk: int = LARGEST_CHUNK_BYTES
) -> list[ResultT]:
    """Returns what each parser finds in its file, several at once. Raises the first error of any."""
    gate = asyncio.Semaphore(_FILES_AT_ONCE)

    async def parse(reader: RangeReader, parser: Parser[ResultT]) -> ResultT:
        async with gate:
            return await parse_ranges(reader, parser, largest_chunk=largest_chunk)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(parse(reader, parser)) for reader, parser in jobs]
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]


def parse_file(path: Path, new_parser: Callable[[str, int], Parser[ResultT]]) -> ResultT:
    """Returns what a parser, made of a file's name and size, finds in a file on this machine.

    Raises:
        OSError: It cannot be read. And what the parser raises.
    """
    with path.open("rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        parser, chunk = new_parser(path.name, size), FIRST_CHUNK_BYTES
        try:
            need = next(parser)
            while True:
                file.seek(need.offset)
                need = parser.send(file.read(_length(need, size, chunk)) or b"")
                chunk = min(2 * chunk, LARGEST_CHUNK_BYTES)
        except StopIteration as done:
            result: ResultT = done.value
            return result


def _length(need: Need, size: int, chunk: int) -> int:
    return min(max(need.length, chunk), size - need.offset)
