"""Buffers of llama.cpp's compute graph, found as llama.cpp finds them: by laying its tensors out.

They depend on which tensors live at the same time, and on the holes that others left: no formula in widths holds for
more than a few shapes. The graph is that of the largest batch, with every slot at work, which is what llama.cpp
reserves when it starts; it never takes more.
"""

from dataclasses import dataclass
from functools import lru_cache

from moorage_common.modelfiles.gguf_facts import GgufFacts
from moorage_scheduler.estimators.gguf_context import Context
from moorage_scheduler.estimators.gguf_graph import model_graph
from moorage_scheduler.estimators.gguf_plan import FLOAT_BYTES, Plan
from moorage_scheduler.estimators.graph import Device, buffer_sizes


@dataclass(frozen=True, slots=True, kw_only=True)
class ComputeBuffers:
    """Bytes of the compute graph's buffers when all blocks are in one place."""

    host: int
    """In RAM."""
    gpu: int
    """On the GPU. 0: all blocks are on the CPU."""


# A scheduler estimates the same model again and again: for each replica, and for each hint.
@lru_cache(maxsize=256)
def compute_buffers(facts: GgufFacts, context: Context, *, flash: bool, device: Device) -> ComputeBuffers:
    """Returns the sizes of the buffers.

    Args:
        facts: The model.
        context: Its context.
        flash: Whether attention is computed without its whole matrix in memory.
        device: Where all blocks are.
    """
    plan = Plan(facts=facts, context=context, flash=flash, device=device)
    sizes = buffer_sizes(model_graph(plan))
    # What comes out of the graph is handed to the server in a buffer beside it.
    results = FLOAT_BYTES * facts.vocabulary_size * context.outputs
    return ComputeBuffers(host=sizes[Device.HOST] + results, gpu=sizes[Device.GPU])
