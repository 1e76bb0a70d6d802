"""Reads the hyperparameters of a model out of GGUF metadata, with llama.cpp's defaults."""

from collections.abc import Mapping

from moorage_common.modelfiles.gguf_cursor import invalid
from moorage_common.modelfiles.gguf_header import MetadataValue

MAX_BLOCKS = 512
"""llama.cpp's own bound."""
_MAX_NUMBER = 2**31 - 1


class ModelKeys:
    """Typed access to a header's metadata: a value of a wrong kind or size is an error that names its key."""

    def __init__(self, file_name: str, metadata: Mapping[str, MetadataValue]) -> None:
        self.metadata = metadata
        self._file_name = file_name

    @property
    def architecture(self) -> str:
        """``general.architecture``, which must be there."""
        value = self.metadata.get("general.architecture")
        if not isinstance(value, str) or not value:
            raise invalid(self._file_name, f"general.architecture is {_shown(value)}")
        return value

    @property
    def block_count(self) -> int:
        """Number of transformer blocks, at most `MAX_BLOCKS`."""
        count = self.model_number("block_count", at_least=1)
        if count > MAX_BLOCKS:
            raise invalid(self._file_name, f"it has {count:,} blocks; llama.cpp takes {MAX_BLOCKS}")
        return count

    @property
    def nextn_block_count(self) -> int:
        """How many of the last blocks only guess tokens further ahead. They are nothing without their draft context."""
        if self.architecture == "graniteswitch":  # calls one of its ordinary blocks so
            return 0
        return min(self.block_count, self.model_number("nextn_predict_layers", default=0))

    def text(self, key: str) -> str:
        """A string, at most 200 characters of it. Empty when there is none."""
        value = self.metadata.get(key)
        return value[:200] if isinstance(value, str) else ""

    def number(self, key: str, *, default: int | None = None, at_least: int = 0) -> int:
        """A whole number; required when no default is given."""
        value = self.metadata.get(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or not at_least <= value <= _MAX_NUMBER:
            raise invalid(self._file_name, f"{key} is {_shown(value)}")
        return value

    def model_number(self, key: str, *, default: int | None = None, at_least: int = 0) -> int:
        """A whole number under the architecture's prefix; required when no default is given."""
        return self.number(f"{self.architecture}.{key}", default=default, at_least=at_least)

    def flags(self, key: str) -> tuple[bool, ...] | None:
        """One flag per entry of an array under the architecture's prefix. None: there is no array."""
        value = self.metadata.get(f"{self.architecture}.{key}")
        return tuple(map(bool, value)) if isinstance(value, tuple) else None

    def per_block(self, key: str, *, default: tuple[int, ...] | None = None) -> tuple[int, ...]:
        """One number per block: the file gives an array, or one number for all blocks."""
        name, blocks = f"{self.architecture}.{key}", self.block_count
        value = self.metadata.get(name)
        if value is None and default is not None:
            return default
        if not isinstance(value, tuple):
            return (self.number(name),) * blocks
        if len(value) != blocks:
            raise invalid(self._file_name, f"{name} has {len(value)} entries for {blocks} blocks")
        numbers = tuple(int(entry) for entry in value if isinstance(entry, int))
        if len(numbers) != blocks or not all(0 <= number <= _MAX_NUMBER for number in numbers):
            raise invalid(self._file_name, f"{name} is {_shown(value)}")
        return numbers

    def believable(self, what: str, value: int, *, limit: int = _MAX_NUMBER) -> int:
        """A product of the header's numbers, which is no more than the limit."""
        if value > limit:
            raise invalid(
                self._file_name, f"its {what} would be {value:,}; more than {limit:,} are not believed"
            )
        return value

    def feed_forward_lengths(self) -> tuple[int, ...]:
        """Width of the feed-forward layer, per block; of one expert where only that is given."""
        return self.per_block("feed_forward_length", default=self.expert_feed_forward_lengths())

    def expert_feed_forward_lengths(self) -> tuple[int, ...]:
        """Width of one expert's feed-forward layer, per block."""
        return self.per_block("expert_feed_forward_length", default=(0,) * self.block_count)


def _shown(value: object) -> str:
    text = repr(value)
    return "missing" if value is None else text if len(text) <= 80 else f"{text[:80]}…"
