"""How llama.cpp cuts up its context: cells per slot, and tokens that are computed at once."""

from dataclasses import dataclass

from moorage_common.core.llama_cpp import DEFAULT_CONTEXT
from moorage_common.core.placement import KvCacheType
from moorage_common.modelfiles.gguf_facts import GgufFacts
from moorage_scheduler.core.request import LlamaCppOptions

_CELL_STEP = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The context of one engine."""

    length: int
    """Tokens asked for, shared by all slots."""
    slots: int
    streams: int
    """Caches that are kept apart: one for each slot, or one for all."""
    cells: int
    """Cells per stream of a block that attends to everything."""
    window_cells: int
    """Cells per stream of a block with a sliding window. 0: there is no such block."""
    batch: int
    """Tokens computed at once, over all slots."""
    outputs: int
    """Tokens of them that a next one is wanted for."""
    quantized: bool
    """Whether keys and values are kept in fewer bits than 16."""


def context_of(facts: GgufFacts, options: LlamaCppOptions) -> Context:
    """Returns the context that llama.cpp makes for a model and its options."""
    trained = facts.context_length or DEFAULT_CONTEXT
    length = options.context_length or min(trained, DEFAULT_CONTEXT)
    slots = max(1, options.parallel_slots)
    streams = 1 if options.unified_kv_cache else slots
    cells = _padded(_padded(length) // streams)
    micro_batch = min(options.micro_batch_size, length)
    has_window = facts.sliding_window > 0 and any(facts.sliding_window_blocks)
    # A window's cells must also hold the tokens that are being computed while the oldest are still read.
    in_window = facts.sliding_window * (slots // streams) + micro_batch
    batch = -(-micro_batch // slots) * slots
    return Context(
        length=length,
        slots=slots,
        streams=streams,
        cells=cells,
        window_cells=_padded(min(cells, in_window)) if has_window else 0,
        batch=batch,
        outputs=min(slots, batch),
        quantized=options.kv_cache_type is not KvCacheType.F16,
    )


def _padded(tokens: int) -> int:
    return max(_CELL_STEP, -(-tokens // _CELL_STEP) * _CELL_STEP)
