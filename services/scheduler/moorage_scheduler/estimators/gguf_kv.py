"""Keys and values: what each block of a GGUF model keeps of its context."""

from fractions import Fraction

from moorage_common.core.placement import KvCacheType
from moorage_common.modelfiles.gguf_facts import GgufFacts
from moorage_scheduler.estimators.gguf_context import Context

_BYTES_PER_VALUE = {
    KvCacheType.F16: Fraction(2),
    # 32 values share a 2-byte scale.
    KvCacheType.Q8_0: Fraction(34, 32),
    KvCacheType.Q4_0: Fraction(18, 32),
}


def kv_bytes_per_block(facts: GgufFacts, context: Context, kv_type: KvCacheType) -> tuple[int, ...]:
    """Returns the bytes of keys and values, over all slots, per block from the first to the last."""
    windowed = facts.sliding_window_blocks or (False,) * facts.block_count
    return tuple(
        _block_bytes(
            cells=context.slots * (context.window_cells if has_window else context.cells),
            values=heads * _values_per_head(facts, heads),
            kv_type=kv_type,
        )
        for heads, has_window in zip(facts.head_counts_kv, windowed, strict=True)
    )


def _values_per_head(facts: GgufFacts, heads: int) -> int:
    # Latent attention in its compressed form has one head, whose value is a part of its key.
    latent = facts.kv_lora_rank > 0 and heads == 1
    return facts.key_length + (0 if latent else facts.value_length)


def _block_bytes(*, cells: int, values: int, kv_type: KvCacheType) -> int:
    return int(cells * values * _BYTES_PER_VALUE[kv_type])
