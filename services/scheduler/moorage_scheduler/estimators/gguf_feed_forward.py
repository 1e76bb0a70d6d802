"""The tensors of feed-forward layers: dense ones, and mixtures of experts."""

from moorage_scheduler.estimators.gguf_plan import FLOAT_BYTES, Plan
from moorage_scheduler.estimators.graph import Graph, Tensor


def feed_forward(graph: Graph, plan: Plan, block: int, normed: Tensor, rows: int) -> Tensor:
    """Returns what a block's feed-forward layer makes of its normed input, which has so many rows."""
    facts = plan.facts
    if not facts.block_expert_bytes[block]:
        return _dense(graph, plan, normed, rows, facts.feed_forward_lengths[block])
    result = _experts(graph, plan, normed, rows)
    if facts.shared_expert_feed_forward_length:
        shared = _dense(graph, plan, normed, rows, facts.shared_expert_feed_forward_length)
        result = graph.revise(result, shared)
    return result


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
    graph.run(results)
    parts = [graph.view(results, plan.floats(plan.hidden, rows)) for _ in range(used)]
    for part in parts:
        graph.run(part)
    total = parts[0]
    for part in parts[1:]:
        total = graph.revise(total, part)
    if used == 1:
        total = graph.compute(total.size, total)
    graph.run(total)
    return total
