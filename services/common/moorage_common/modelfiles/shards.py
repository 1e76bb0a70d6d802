"""How a GGUF model that is split over several files names them."""

import re
from dataclasses import dataclass

from moorage_common.modelfiles.gguf_cursor import invalid

MAX_SHARDS = 1000
"""More are not believed."""

_SHARD = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf", re.DOTALL)


@dataclass(frozen=True, slots=True)
class ShardName:
    """The parts of ``<stem>-00002-of-00005.gguf``."""

    stem: str
    number: int
    """From 1."""
    count: int

    def sibling(self, number: int) -> str:
        """The path of another shard of the same model."""
        return f"{self.stem}-{number:05}-of-{self.count:05}.gguf"


def parse_shard_name(path: str) -> ShardName | None:
    """Reads a shard's path; None when it is not one of a split model."""
    match = _SHARD.fullmatch(path)
    if match is None:
        return None
    return ShardName(stem=match["stem"], number=int(match["number"]), count=int(match["count"]))


def shard_paths(path: str) -> tuple[str, ...]:
    """Returns the paths of all files of the model that a GGUF file belongs to, in order.

    Raises:
        FailedPrecondition: MODEL_FILE_INVALID: its name is of a shard that cannot be.
    """
    shard = parse_shard_name(path)
    if shard is None:
        return (path,)
    if not 1 <= shard.number <= shard.count <= MAX_SHARDS:
        raise invalid(path, f"shard {shard.number} of {shard.count} cannot be")
    return tuple(shard.sibling(number) for number in range(1, shard.count + 1))
