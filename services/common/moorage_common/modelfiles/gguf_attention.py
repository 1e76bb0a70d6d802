"""What each block of a GGUF model attends with, and what it keeps of each token."""

from collections.abc import Collection
from dataclasses import dataclass

from moorage_common.modelfiles.architectures import SLIDING_WINDOWS, UNCACHED, SlidingWindow
from moorage_common.modelfiles.gguf_keys import ModelKeys

_GEMMA3N_CACHED_BLOCKS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Attention:
    """The attention of all blocks."""

    head_counts: tuple[int, ...]
    head_counts_kv: tuple[int, ...]
    key_length: int
    value_length: int
    key_length_mla: int
    value_length_mla: int
    kv_lora_rank: int
    sliding_window: int
    sliding_window_blocks: tuple[bool, ...]
    block_key_elements: tuple[int, ...]
    block_value_elements: tuple[int, ...]


def attention_of(keys: ModelKeys, *, cached: Collection[int], indexed: Collection[int]) -> Attention:
    """Reads a model's attention.

    Args:
        keys: The header's hyperparameters.
        cached: Blocks that may keep keys and values; the others never do.
        indexed: Blocks that keep one more key per token, by which they choose what to attend to.
    """
    heads = keys.per_block("attention.head_count", default=(0,) * keys.block_count)
    heads_kv = keys.per_block("attention.head_count_kv", default=heads)
    widest = max(heads)
    default_length = keys.model_number("embedding_length", at_least=1) // widest if widest else 0
    key_length = keys.model_number("attention.key_length", default=default_length)
    value_length = keys.model_number("attention.value_length", default=default_length)
    # A file that gives no MLA lengths was converted before llama.cpp could cache compressed vectors.
    mla_lengths = [keys.model_number(f"attention.{part}_length_mla", default=0) for part in ("key", "value")]
    latent = all(mla_lengths)
    window, window_blocks = _sliding_window(keys, heads_kv)
    window_lengths = (
        keys.model_number("attention.key_length_swa", default=key_length),
        keys.model_number("attention.value_length_swa", default=value_length),
    )
    key_elements, value_elements = [], []
    for block, count in enumerate(heads_kv):
        slides = block < len(window_blocks) and window_blocks[block]
        key, value = window_lengths if slides else (key_length, value_length)
        kept = count if block in cached else 0
        index = keys.model_number("attention.indexer.key_length", default=0) if block in indexed else 0
        key_elements.append(keys.believable("keys per token", kept * key + index))
        # In its compressed form a value is a part of its key. An index beside plain values has one of its own.
        plain = 0 if latent else kept * value + (value if index else 0)
        value_elements.append(keys.believable("values per token", plain))
    return Attention(
        head_counts=heads,
        head_counts_kv=heads_kv,
        key_length=key_length,
        value_length=value_length,
        key_length_mla=mla_lengths[0] if latent else 0,
        value_length_mla=mla_lengths[1] if latent else 0,
        kv_lora_rank=keys.model_number("attention.kv_lora_rank", default=0) if latent else 0,
        sliding_window=window,
        sliding_window_blocks=window_blocks,
        block_key_elements=tuple(key_elements),
        block_value_elements=tuple(value_elements),
    )


def cached_blocks(keys: ModelKeys) -> range:
    """Returns which blocks may keep keys and values, as far as it does not depend on whether they are recurrent."""
    if keys.architecture in UNCACHED:
        return range(0)
    shared = keys.model_number("attention.shared_kv_layers", default=0)
    if keys.architecture == "gemma3n":
        return range(min(keys.block_count, _GEMMA3N_CACHED_BLOCKS))
    return range(max(0, keys.block_count - max(shared, keys.nextn_block_count)))


def _sliding_window(keys: ModelKeys, heads_kv: tuple[int, ...]) -> tuple[int, tuple[bool, ...]]:
    rule = SLIDING_WINDOWS.get(keys.architecture)
    pattern = keys.flags("attention.sliding_window_pattern")
    if rule is None and pattern is None:
        return 0, ()
    rule = rule or SlidingWindow(0)
    window = keys.model_number("attention.sliding_window", default=rule.default)
    window = rule.fixed if window and rule.fixed else window
    if pattern is None:
        period = keys.model_number("attention.sliding_window_pattern", default=rule.period)
        chosen = tuple(_slides(block, period, full_first=rule.full_first) for block in range(len(heads_kv)))
    else:
        # Blocks past the array's end (for predicting several tokens) have no window.
        chosen = tuple(block < len(pattern) and pattern[block] for block in range(len(heads_kv)))
    blocks = tuple(slides and heads > 0 for slides, heads in zip(chosen, heads_kv, strict=True))
    return (window, blocks) if window and any(blocks) else (0, ())


def _slides(block: int, period: int, *, full_first: bool) -> bool:
    if period == 0:
        return True
    return block % period != (0 if full_first else period - 1)
