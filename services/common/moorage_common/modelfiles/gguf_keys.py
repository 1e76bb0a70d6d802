"""Reads the hyperparameters of a model out of GGUF metadata, with llama.cpp's defaults."""

from collections.abc import Mapping
from dataclasses import dataclass

from moorage_common.modelfiles.architectures import SLIDING_WINDOWS, SlidingWindow
from moorage_common.modelfiles.gguf_cursor import invalid
from moorage_common.modelfiles.gguf_header import MetadataValue

MAX_BLOCKS = 512
"""llama.cpp's own bound."""
_MAX_NUMBER = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Attention:
    """What each block remembers of the context."""

    head_counts: tuple[int, ...]
    head_counts_kv: tuple[int, ...]
    key_length: int
    value_length: int
    kv_lora_rank: int
    sliding_window: int
    sliding_window_blocks: tuple[bool, ...]


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

    def feed_forward_lengths(self) -> tuple[int, ...]:
        """Width of the feed-forward layer, per block; of one expert where only that is given."""
        return self.per_block("feed_forward_length", default=self.expert_feed_forward_lengths())

    def expert_feed_forward_lengths(self) -> tuple[int, ...]:
        """Width of one expert's feed-forward layer, per block."""
        return self.per_block("expert_feed_forward_length", default=(0,) * self.block_count)

    def attention(self) -> Attention:
        """What decides the size of the key/value cache."""
        heads = self.per_block("attention.head_count", default=(0,) * self.block_count)
        heads_kv = self.per_block("attention.head_count_kv", default=heads)
        widest = max(heads)
        default_length = self.model_number("embedding_length", at_least=1) // widest if widest else 0
        window, window_blocks = self._sliding_window(heads_kv)
        # A file that gives no MLA lengths was converted before llama.cpp could cache compressed vectors.
        latent = self.model_number("attention.key_length_mla", default=0) > 0
        return Attention(
            head_counts=heads,
            head_counts_kv=heads_kv,
            key_length=self.model_number("attention.key_length", default=default_length),
            value_length=self.model_number("attention.value_length", default=default_length),
            kv_lora_rank=self.model_number("attention.kv_lora_rank", default=0) if latent else 0,
            sliding_window=window,
            sliding_window_blocks=window_blocks,
        )

    def _sliding_window(self, heads_kv: tuple[int, ...]) -> tuple[int, tuple[bool, ...]]:
        rule = SLIDING_WINDOWS.get(self.architecture)
        pattern = self.metadata.get(f"{self.architecture}.attention.sliding_window_pattern")
        if rule is None and not isinstance(pattern, tuple):
            return 0, ()
        rule = rule or SlidingWindow(0)
        window = self.model_number("attention.sliding_window", default=rule.default)
        window = rule.fixed if window and rule.fixed else window
        if isinstance(pattern, tuple):
            # Blocks past the array's end (for predicting several tokens) have no window.
            chosen = tuple(block < len(pattern) and bool(pattern[block]) for block in range(len(heads_kv)))
        else:
            period = self.model_number("attention.sliding_window_pattern", default=rule.period)
            chosen = tuple(
                _slides(block, period, full_first=rule.full_first) for block in range(len(heads_kv))
            )
        blocks = tuple(slides and heads > 0 for slides, heads in zip(chosen, heads_kv, strict=True))
        return (window, blocks) if window and any(blocks) else (0, ())


def _slides(block: int, period: int, *, full_first: bool) -> bool:
    if period == 0:
        return True
    return block % period != (0 if full_first else period - 1)


def _shown(value: object) -> str:
    text = repr(value)
    return "missing" if value is None else text if len(text) <= 80 else f"{text[:80]}…"
