"""How llama.cpp cuts up its context: cells per slot, and tokens that are computed at once."""

from dataclasses import dataclass

from moorage_common.modelfiles.gguf_facts import GgufFacts
from moorage_scheduler.core.request import LlamaCppOptions

DEFAULT_CONTEXT = 4096
"""Tokens of context for a model that can do more, when the user says nothing."""
_MAX_UBATCH = 512
_CELL_STEP = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The context of one engine."""

    length: int
    """Tokens asked for, shared by all slots."""
    slots: int
    cells: int
    """Cells per slot of a block that attends to everything."""
    window_cells: int
    """Cells per slot of a block with a sliding window. 0: there is no such block."""
    ubatch: int
    """Tokens computed at once."""


def context_of(facts: GgufFacts, options: LlamaCppOptions) -> Context:
    """Returns the context that llama.cpp makes for a model and its options."""
    trained = facts.context_length or DEFAULT_CONTEXT
    length = options.context_length or min(trained, DEFAULT_CONTEXT)
    slots = max(1, options.parallel_slots)
    cells = _padded(_padded(length) // slots)
    ubatch = min(_MAX_UBATCH, length)
    has_window = facts.sliding_window > 0 and any(facts.sliding_window_blocks)
    # A window's cells must also hold the tokens that are being computed while the oldest are still read.
    window_cells = min(cells, _padded(facts.sliding_window + ubatch)) if has_window else 0
    return Context(length=length, slots=slots, cells=cells, window_cells=window_cells, ubatch=ubatch)


def _padded(tokens: int) -> int:
    return max(_CELL_STEP, -(-tokens // _CELL_STEP) * _CELL_STEP)
