"""What llama.cpp's server holds in RAM beside a model's buffers."""

from moorage_common.core.llama_cpp import CONTEXT_CHECKPOINTS
from moorage_common.core.placement import KvCacheType
from moorage_common.modelfiles.gguf_facts import GgufFacts
from moorage_scheduler.estimators.gguf_context import Context
from moorage_scheduler.estimators.gguf_kv import kept_per_block
from moorage_scheduler.estimators.gguf_plan import HALF_BYTES


def checkpoint_bytes(facts: GgufFacts, context: Context, kv_type: KvCacheType) -> int:
    """Returns what one slot's set-aside states take: what a window forgets, and what a recurrence overwrites."""
    kept = kept_per_block(facts, context, kv_type, flash=True)
    windows = facts.sliding_window_blocks or (False,) * facts.block_count
    set_aside = sum(
        size if slides else context.slots * state
        for size, slides, state in zip(kept, windows, facts.block_state_bytes, strict=True)
    )
    return CONTEXT_CHECKPOINTS * set_aside // context.slots


def scratch_bytes(facts: GgufFacts, context: Context) -> int:
    """Returns what the CPU takes to turn one matrix multiplication's input into the type that it multiplies in."""
    widest = max(
        facts.embedding_length,
        max(facts.feed_forward_lengths, default=0),
        facts.expert_used_count * facts.expert_feed_forward_length,
        max(facts.head_counts, default=0) * max(facts.value_length, facts.value_length_mla),
        facts.recurrent_inner_length,
    )
    return HALF_BYTES * widest * context.batch
