"""Buffers of llama.cpp's compute graph: closed forms for what its allocator reserves with flash attention.

The buffer holds the activations that live at the same time, as 32-bit floats for each of the tokens computed
at once, and the attention mask. Which phase of a block needs most depends on the model's shape, so each
has its form and the largest counts. They were read off llama.cpp's log for dense and expert models of many
shapes; an expert's result that fits no hole which earlier phases left is put on top of them.
"""

from dataclasses import dataclass

from moorage_common.modelfiles.gguf_facts import GgufFacts
from moorage_scheduler.estimators.gguf_context import Context

_FLOAT_BYTES = 4
_MASK_BYTES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class ComputeBuffers:
    """Bytes of the compute graph's buffers, by where they are."""

    cpu: int
    """In RAM, when any block is computed there."""
    gpu: int
    """On each GPU that computes any block."""
    cpu_beside_gpu: int
    """In RAM, when every block is computed on GPUs."""


def compute_buffers(facts: GgufFacts, context: Context) -> ComputeBuffers:
    """Returns the sizes of the buffers for one context."""
    hidden, token_bytes = facts.embedding_length, _FLOAT_BYTES * context.ubatch
    peak = max(_attention_floats(facts), _dense_floats(facts), _expert_floats(facts))
    mask = _MASK_BYTES * context.ubatch * (context.cells + context.window_cells)
    logits = _FLOAT_BYTES * facts.vocabulary_size * context.slots
    return ComputeBuffers(
        cpu=token_bytes * peak + mask + logits,
        # The embedded tokens are made on the host and come over, so a GPU holds one row less.
        gpu=token_bytes * (peak - hidden) + mask + logits,
        cpu_beside_gpu=token_bytes * 4 * hidden + mask + logits,
    )


def _attention_floats(facts: GgufFacts) -> int:
    hidden = facts.embedding_length
    queries = max(facts.head_counts, default=0) * facts.key_length
    keys = max(facts.head_counts_kv, default=0) * facts.key_length
    return 2 * queries + 5 * hidden + (2 * keys if keys > hidden else 0)


def _dense_floats(facts: GgufFacts) -> int:
    return 3 * max(facts.feed_forward_lengths, default=0) + 5 * facts.embedding_length


def _expert_floats(facts: GgufFacts) -> int:
    used, hidden = facts.expert_used_count, facts.embedding_length
    # Where the file says nothing of experts' width, its one width is theirs.
    expert = facts.expert_feed_forward_length or max(facts.feed_forward_lengths, default=0)
    width, results = used * expert, used * hidden
    if width <= hidden:
        return 5 * hidden + results
    if 2 * width >= results:
        return 5 * hidden + 3 * width
    return 5 * hidden + 3 * width + results
