"""The tensors of feed-forward layers: dense ones, and mixtures of experts."""

from moorage_scheduler.estimators.gguf_plan import FLOAT_BYTES, Plan
from moorage_scheduler.estimators.graph import Graph, Tensor


def feeds_forward(plan: Plan, block: int) -> bool:
    """Returns whether a block has a feed-forward layer."""
    return plan.facts.feed_forward_lengths[block] > 0 or _has_experts(plan, block)


def feed_forward(graph: Graph, plan: Plan, block: int, normed: Tensor, rows: int) -> Tensor:
    """Returns what a block's feed-forward layer makes of its normed input, which has so many rows."""
    facts = plan.facts
    if not _has_experts(plan, block):
        return _dense(graph, plan, normed, rows, facts.feed_forward_lengths[block])
    result = _experts(graph, plan, normed, rows)
    if facts.shared_expert_feed_forward_length:
        shared = _dense(graph, plan, normed, rows, facts.shared_expert_feed_forward_length)
        result = graph.revise(result, shared)
    return result


def _has_experts(plan: Plan, block: int) -> bool:
    expert_bytes = plan.facts.block_expert_bytes
    # Facts that do not tell the experts' bytes leave open which blocks have them: then all.
    return plan.facts.expert_count > 0 and (expert_bytes[block] > 0 or not any(expert_bytes))


def _dense(graph: Graph, plan: Plan, normed: Tensor, rows: int, width: int) -> Tensor:
    wide = plan.floats(width, rows)
    if plan.facts.ungated_feed_forward:
        inner = graph.revise(graph.compute(wide, normed))
    else:
        gate = graph.compute(wide, normed)
        inner = graph.compute(wide, gate, graph.compute(wide, normed))
    return graph.compute(plan.floats(plan.hidden, rows), inner)


def _experts(graph: Graph, plan: Plan, normed: Tensor, rows: int) -> Tensor:
    facts = plan.facts
    used = facts.expert_used_count
    # Where the file says nothing of experts' width, its one width is theirs.
    width = facts.expert_feed_forward_length or max(facts.feed_forward_lengths)
    scores = graph.revise(graph.compute(plan.floats(facts.expert_count, rows), normed))
    order = graph.compute(FLOAT_BYTES * facts.expert_count * rows, scores)
    chosen = graph.view(order, FLOAT_BYTES * used * rows)
    weights = graph.compute(plan.floats(used, rows), graph.view(scores), chosen)
    graph.run(weights)
    tokens = graph.view(normed)
    wide = plan.floats(width * used, rows)
    if facts.ungated_feed_forward:
        inner = graph.revise(graph.compute(wide, tokens, chosen))
    else:
        gate = graph.compute(wide, tokens, chosen)
        inner = graph.compute(wide, gate, graph.compute(wide, tokens, chosen))
    results = graph.revise(graph.compute(plan.floats(plan.hidden * used, rows), inner, chosen), weights)
    # They are summed up one by one into the same place.
    total = graph.compute(plan.floats(plan.hidden, rows), graph.view(results))
    graph.run(total)
    return total
