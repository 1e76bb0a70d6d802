"""Reads the facts of GGUF models, from local files and from byte ranges of remote ones.

facts = read_gguf_files([Path("model.gguf")])
facts = await read_gguf_ranges([reader])
"""

from collections.abc import Sequence
from pathlib import Path

from moorage_common.modelfiles.gguf_facts import GgufFacts, gguf_facts
from moorage_common.modelfiles.gguf_header import parse_header
from moorage_common.modelfiles.ranges import RangeReader, parse_all, parse_file


async def read_gguf_ranges(readers: Sequence[RangeReader]) -> GgufFacts:
    """Returns the facts of a model, given all of its shards in order.

    Raises:
        FailedPrecondition: MODEL_FILE_INVALID or ARCHITECTURE_UNSUPPORTED, with what was read.
    """
    return gguf_facts(await parse_all((reader, parse_header(reader.name, reader.size)) for reader in readers))


def read_gguf_files(paths: Sequence[Path]) -> GgufFacts:
    """Returns the facts of a model on this machine, given all of its shards in order.

    Raises:
        FailedPrecondition: MODEL_FILE_INVALID or ARCHITECTURE_UNSUPPORTED, with what was read.
        OSError: A file cannot be read.
    """
    return gguf_facts([parse_file(path, parse_header) for path in paths])
