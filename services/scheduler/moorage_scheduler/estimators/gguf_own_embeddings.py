"""Embeddings that each block has of its own for each token, which are added to its result."""

from moorage_scheduler.estimators.gguf_plan import FLOAT_BYTES, Plan
from moorage_scheduler.estimators.graph import Device, Graph, Tensor


def look_up(graph: Graph, plan: Plan) -> Tensor | None:
    """Looks up those of all blocks, on the host, before anything else. None: there are none."""
    width = plan.facts.own_embedding_length * plan.facts.block_count
    if not width:
        return None
    graph.device = Device.HOST
    found = graph.compute(plan.floats(width), graph.input("tokens of all blocks", FLOAT_BYTES * plan.tokens))
    graph.run(found)
    return found


def joined(graph: Graph, looked_up: Tensor, embedded: Tensor) -> Tensor:
    """Returns them with what is made for them of a token's usual embedding, block by block."""
    graph.device = Device.HOST
    projected = graph.view(graph.compute(looked_up.size, embedded))
    normed = graph.compute(looked_up.size, projected)
    both = graph.revise(normed, graph.view(graph.revise(looked_up)))
    return graph.compute(both.size, graph.view(both))


def added(graph: Graph, plan: Plan, own: Tensor, state: Tensor, rows: int) -> Tensor:
    """Returns a block's result with its own embeddings."""
    width = plan.floats(plan.facts.own_embedding_length, rows)
    of_block = graph.view(own, width)
    if rows != plan.tokens:
        of_block = graph.compute(width, of_block, graph.input("outputs", FLOAT_BYTES * rows))
    gate = graph.revise(graph.revise(graph.compute(width, state)), of_block)
    return graph.revise(state, graph.revise(graph.compute(plan.floats(plan.hidden, rows), gate)))
