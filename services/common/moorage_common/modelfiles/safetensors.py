"""Reads the facts of models in safetensors: a folder with a config.json and weights, here or somewhere else.

model = read_safetensors_folder(Path("llama"))
model = await read_safetensors_ranges(readers)
"""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from moorage_common.modelfiles.config_facts import safetensors_facts
from moorage_common.modelfiles.config_keys import CONFIG_NAME, ConfigKeys, parse_config
from moorage_common.modelfiles.config_quantization import MODELOPT_NAME, read_quantization
from moorage_common.modelfiles.ranges import RangeReader, parse_all, parse_ranges
from moorage_common.modelfiles.safetensors_facts import SafetensorsFacts
from moorage_common.modelfiles.safetensors_files import choose_weights, weight_candidates
from moorage_common.modelfiles.safetensors_header import invalid, parse_safetensors
from moorage_common.modelfiles.safetensors_index import INDEX_NAME, MAX_SHARDS, parse_index
from moorage_common.modelfiles.safetensors_weights import WeightSums

LARGEST_CHUNK_BYTES = 1 << 20
"""Of a header: what is parsed at a time, while nothing else happens."""

_SENTENCES = re.compile(r"sentence_[a-z-]+_config\.json")


@dataclass(frozen=True, slots=True)
class SafetensorsModel:
    """What was read of a model."""

    facts: SafetensorsFacts
    weights: tuple[str, ...]
    """Paths of the files that hold its tensors. There may be others, which hold the same again."""


async def read_safetensors_ranges(files: Mapping[str, RangeReader]) -> SafetensorsModel:
    """Reads what a model's files say of it, without the weights.

    Args:
        files: Everything in the model's folder, by its path there.

    Raises:
        FailedPrecondition: MODEL_FILE_INVALID, with what was read.
    """
    config = await _object(files, CONFIG_NAME)
    if config is None:
        raise invalid(CONFIG_NAME, "there is none")
    modelopt = await _object(files, MODELOPT_NAME)
    sentences = await _object(files, next(filter(_SENTENCES.fullmatch, sorted(files)), ""))
    quantization = read_quantization(config, modelopt)
    sums = WeightSums(quantization.bits)
    weights = await _read_weights(files, sums)
    facts = safetensors_facts(
        config, quantization=quantization, sentences=sentences, weights=sums, files=files
    )
    return SafetensorsModel(facts, weights)


def read_safetensors_folder(folder: Path) -> SafetensorsModel:
    """Reads what the files of a model on this machine say of it. Not for coroutines.

    Raises:
        FailedPrecondition: MODEL_FILE_INVALID, with what was read.
        OSError: A file cannot be read.
    """
    paths = [path for pattern in ("*", "*/*") for path in folder.glob(pattern) if path.is_file()]
    files = {path.relative_to(folder).as_posix(): _LocalFile(path) for path in paths}
    return asyncio.run(read_safetensors_ranges(files))


async def _object(files: Mapping[str, RangeReader], name: str) -> ConfigKeys | None:
    if (reader := files.get(name)) is None:
        return None
    return await parse_ranges(reader, parse_config(reader.name, reader.size))


async def _read_weights(files: Mapping[str, RangeReader], sums: WeightSums) -> tuple[str, ...]:
    """Sums up the tensors of all files that have any; returns which these are."""
    index = None
    if reader := files.get(INDEX_NAME):
        parser = parse_index(reader.name, reader.size, weight_candidates(files))
        index = await parse_ranges(reader, parser, largest_chunk=LARGEST_CHUNK_BYTES)
    names = choose_weights(files, index)
    if not 1 <= len(names) <= MAX_SHARDS:
        raise invalid(CONFIG_NAME, f"there are {len(names):,} files of weights beside it")
    readers = [files[name] for name in names]
    await parse_all(
        (
            (reader, parse_safetensors(reader.name, reader.size, partial(sums.add, reader.name)))
            for reader in readers
        ),
        largest_chunk=LARGEST_CHUNK_BYTES,
    )
    if not sums.total_bytes:
        raise invalid(readers[0].name, "it holds no tensors")
    if missing := sums.missing(index or ()):
        raise invalid(INDEX_NAME, f"it names tensor {missing[:200]!r}, which none of its files holds")
    return names


class _LocalFile:
    """A file on this machine, as a `RangeReader`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.size = path.stat().st_size

    @property
    def name(self) -> str:
        return self._path.name

    async def read(self, offset: int, length: int) -> bytes:
        with self._path.open("rb") as file:
            file.seek(offset)
            return file.read(length)
