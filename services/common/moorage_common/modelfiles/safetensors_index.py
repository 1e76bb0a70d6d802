"""Which file holds which tensor of a model in safetensors that is split: ``model.safetensors.index.json``."""

import re
from collections.abc import Collection, Generator, Mapping

from moorage_common.core.errors import FailedPrecondition
from moorage_common.modelfiles.json_reader import JsonReader
from moorage_common.modelfiles.ranges import Need
from moorage_common.modelfiles.safetensors_header import invalid, show

INDEX_NAME = "model.safetensors.index.json"
MAX_INDEX_BYTES = 100_000_000
MAX_TENSORS = 1 << 19
"""Of one model. The largest have some 200,000."""
MAX_SHARDS = 1000

_LEAVES = re.compile(r"(^|[/\\])\.\.?([/\\]|$)|^[/\\]|^[A-Za-z]+:")


def parse_index(
    file_name: str, file_bytes: int, available: Collection[str]
) -> Generator[Need, bytes, Mapping[str, str]]:
    """Parses an index; a parser of `moorage_common.modelfiles.ranges`.

    Args:
        file_name: What the file is called in errors.
        file_bytes: Its whole size.
        available: The files that there are beside it.

    Returns:
        The file of each tensor, by the tensor's name.

    Raises:
        FailedPrecondition: MODEL_FILE_INVALID, with what was read.
    """
    if file_bytes > MAX_INDEX_BYTES:
        raise invalid(file_name, f"it has {file_bytes:,} bytes; no index is that long")
    entries = _Entries(file_name, available)
    json = JsonReader(0, file_bytes, lambda problem: invalid(file_name, problem))
    yield from json.token("{")
    while True:
        name = yield from json.value()
        yield from json.token(":")
        if name == "weight_map":
            yield from json.members(entries.take)
        else:
            yield from json.value()
        if (yield from json.token(",}")) == "}":
            break
    yield from json.finish()
    if not entries.files:
        raise invalid(file_name, "its weight_map names no tensors")
    return entries.files


class _Entries:
    """The entries of an index, each held against what there is."""

    def __init__(self, file_name: str, available: Collection[str]) -> None:
        self.files: dict[str, str] = {}
        self._file_name = file_name
        self._available = available
        self._shards: dict[str, str] = {}

    def take(self, tensor: str, shard: object) -> None:
        """Adds an entry."""
        # One string for all of a shard's tensors, and each shard is looked at once.
        known = self._shards.get(shard) if isinstance(shard, str) else None
        if known is None:
            known = self._check_shard(tensor, shard)
        if tensor in self.files:
            raise self._fail(
                f"it names tensor {tensor[:200]!r} twice: in {self.files[tensor]!r} and in {known!r}"
            )
        if len(self.files) == MAX_TENSORS:
            raise self._fail(f"it names more than {MAX_TENSORS:,} tensors")
        self.files[tensor] = known

    def _check_shard(self, tensor: str, shard: object) -> str:
        said = f"it says that tensor {tensor[:200]!r} is in {show(shard)}"
        if not isinstance(shard, str):
            raise self._fail(f"{said}, which is no file's name")
        if _LEAVES.search(shard):
            raise self._fail(f"{said}, which does not stay in the model's folder")
        if not shard.endswith(".safetensors"):
            raise self._fail(f"{said}, which is no safetensors file")
        if shard not in self._available:
            raise self._fail(f"{said}, and there is no such file")
        if len(self._shards) == MAX_SHARDS:
            raise self._fail(f"it names more than {MAX_SHARDS:,} files")
        return self._shards.setdefault(shard, shard)

    def _fail(self, problem: str) -> FailedPrecondition:
        return invalid(self._file_name, problem)
