"""Buffers of llama.cpp's compute graph, found as llama.cpp finds them: by laying its tensors out.

They depend on which tensors live at the same time, and on the holes that others left: no formula in widths holds for
more than a few shapes. The graph is that of the largest batch, with every slot at work, which is what llama.cpp
reserves when it starts; it never takes more.

Several GPUs that have all blocks between them work on four batches in turn. Each batch has inputs of its own, in RAM
and on each GPU that reads them, and embeddings on the first GPU; none of these gives its place to another tensor.
"""

from dataclasses import dataclass

from moorage_common.modelfiles.gguf_facts import GgufFacts
from moorage_scheduler.estimators.gguf_context import Context
from moorage_scheduler.estimators.gguf_graph import EMBEDDED, model_graph
from moorage_scheduler.estimators.gguf_plan import FLOAT_BYTES, Plan
from moorage_scheduler.estimators.graph import Device, buffer_sizes

_BATCHES_IN_TURN = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ComputeBuffers:
    """Bytes of the compute graph's buffers."""

    host: int
    """In RAM."""
    gpu: int = 0
    """On the only GPU."""
    host_of_several: int = 0
    """In RAM, when several GPUs have all blocks between them."""
    gpu_of_several: int = 0
    """On the one of several GPUs that needs most, which is the first."""


def on_cpu(facts: GgufFacts, context: Context, *, flash: bool) -> ComputeBuffers:
    """Returns the sizes of the buffers when all blocks are on the CPU.

    Args:
        facts: The model.
        context: Its context.
        flash: Whether attention is computed without its whole matrix in memory.
    """
    plan = Plan(facts=facts, context=context, flash=flash, device=Device.HOST)
    sizes = buffer_sizes(model_graph(plan))
    return ComputeBuffers(host=sizes[Device.HOST] + _results(plan))


def on_gpus(facts: GgufFacts, context: Context, *, flash: bool, unpacks: bool) -> ComputeBuffers:
    """Returns the sizes of the buffers when all blocks are on GPUs.

    Args:
        facts: The model.
        context: Its context.
        flash: Whether attention is computed without its whole matrix in memory.
        unpacks: Whether GPUs unpack a quantised cache before they look at it.
    """
    plan = Plan(facts=facts, context=context, flash=flash, device=Device.GPU, unpacks=unpacks)
    graph = model_graph(plan)
    hidden, more = plan.floats(plan.hidden), _BATCHES_IN_TURN - 1
    given = sum(tensor.size for tensor in graph.inputs)
    # What is given for images is embedded already, alone and among tokens.
    read_everywhere = given - 2 * hidden
    sizes = buffer_sizes(graph)
    return ComputeBuffers(
        host=sizes[Device.HOST] + _results(plan),
        gpu=sizes[Device.GPU],
        host_of_several=sizes[Device.HOST] + more * given + _results(plan),
        gpu_of_several=sizes[Device.GPU] + more * read_everywhere + _BATCHES_IN_TURN * EMBEDDED * hidden,
    )


def _results(plan: Plan) -> int:
    """What comes out of the graph is handed to the server in a buffer beside it."""
    return FLOAT_BYTES * plan.facts.vocabulary_size * plan.context.outputs
