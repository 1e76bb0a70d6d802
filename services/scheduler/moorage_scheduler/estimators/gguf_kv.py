"""Keys, values and recurrent states: what each block of a GGUF model keeps of its context."""

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


def kept_per_block(
    facts: GgufFacts, context: Context, kv_type: KvCacheType, *, flash: bool
) -> tuple[int, ...]:
    """Returns the bytes of keys, values and states, over all slots, per block from the first to the last."""
    widest = max(facts.block_value_elements, default=0)
    kept = []
    for block in range(facts.block_count):
        elements = facts.block_key_elements[block]
        if elements:
            # Kept by column, for want of flash attention, all blocks' values are as wide as the widest.
            values = facts.block_value_elements[block]
            elements += values if flash or not values else widest
        slides = any(facts.sliding_window_blocks) and facts.sliding_window_blocks[block]
        cells = context.streams * (context.window_cells if slides else context.cells)
        states = context.slots * facts.block_state_bytes[block]
        kept.append(int(cells * elements * _BYTES_PER_VALUE[kv_type]) + states)
    return tuple(kept)
