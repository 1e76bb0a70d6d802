"""The tensors of RWKV's time mix, in the forms that llama.cpp computes."""

from moorage_scheduler.estimators.gguf_plan import FLOAT_BYTES, Plan
from moorage_scheduler.estimators.graph import Graph, Tensor


def rwkv6(graph: Graph, plan: Plan, block: int, normed: Tensor) -> Tensor:
    """Five mixtures of a token and the one before, and the recurrence over them."""
    del block
    hidden = plan.floats(plan.hidden)
    shift = _shift(graph, plan, normed)
    mixed = graph.revise(graph.compute(hidden, graph.view(shift)), graph.view(normed))
    all_mixed = graph.revise(graph.revise(graph.compute(5 * hidden, mixed), graph.view(shift)))
    receptance, key, value = (graph.compute(hidden, graph.view(all_mixed, hidden)) for _ in range(3))
    gate = graph.revise(graph.compute(hidden, graph.view(all_mixed, hidden)))
    decay = graph.revise(graph.compute(hidden, graph.view(all_mixed, hidden)))
    states = _states(graph, plan)
    result = graph.compute(
        hidden + _state_bytes(plan),
        graph.view(key), graph.view(value), graph.view(receptance), graph.view(decay), states,
    )  # fmt: skip
    graph.store(graph.view(result))
    normal = graph.compute(hidden, graph.view(result))
    normal = graph.revise(graph.revise(graph.compute(hidden, graph.view(normal))), gate)
    return graph.view(graph.compute(hidden, normal))


def rwkv7(graph: Graph, plan: Plan, block: int, normed: Tensor) -> Tensor:
    """Six mixtures of a token and the one before, and the recurrence over them."""
    hidden = plan.floats(plan.hidden)
    shift = _shift(graph, plan, normed)
    mixed = graph.revise(graph.revise(graph.compute(6 * hidden, shift)), graph.view(normed))
    receptance, decay, key, rate = (graph.compute(hidden, graph.view(mixed, hidden)) for _ in range(4))
    # All blocks mix in the first one's values.
    value = graph.compute(hidden, graph.view(mixed, hidden), kept=block == 0)
    faded = graph.compute(hidden, key)
    new_key = graph.revise(graph.revise(graph.compute(hidden, rate, faded), faded), key)
    direction = graph.compute(hidden, graph.view(graph.revise(key)))
    sources = (receptance, decay, new_key, value)
    away, back = graph.compute(hidden, direction), graph.revise(direction, graph.view(rate))
    states = _states(graph, plan)
    result = graph.compute(hidden + _state_bytes(plan), *map(graph.view, sources), away, back, states)
    graph.store(graph.view(result))
    normal = graph.revise(graph.compute(hidden, graph.view(result)))
    bonus = graph.compute(hidden, graph.view(new_key), graph.view(receptance))
    bonus = graph.compute(hidden, graph.view(value), graph.compute(hidden // plan.hidden, bonus))
    gate = graph.compute(hidden, graph.view(mixed, hidden))
    normal = graph.revise(graph.revise(normal, graph.view(bonus)), gate)
    return graph.view(graph.compute(hidden, normal))


def shifted(graph: Graph, mixer_input: Tensor, normed: Tensor) -> Tensor:
    """What RWKV's feed-forward layer reads: each token mixed with the one before.

    The last token of both inputs is kept for the next batch.
    """
    graph.store(graph.view(mixer_input), graph.view(normed))
    before = graph.compute(normed.size, graph.view(normed))
    return graph.revise(graph.revise(before, normed), normed)


def _shift(graph: Graph, plan: Plan, normed: Tensor) -> Tensor:
    """The difference to the token before; of the first one, to the last that the slot has seen."""
    last = FLOAT_BYTES * 2 * plan.hidden * plan.context.slots
    kept = graph.view(graph.compute(last, graph.input("slots", FLOAT_BYTES * plan.context.slots)))
    graph.run(kept)
    before = graph.compute(normed.size, graph.view(kept), graph.view(normed))
    return graph.revise(before, normed)


def _states(graph: Graph, plan: Plan) -> Tensor:
    states = graph.view(
        graph.compute(_state_bytes(plan), graph.input("slots", FLOAT_BYTES * plan.context.slots))
    )
    graph.run(states)
    return states


def _state_bytes(plan: Plan) -> int:
    return FLOAT_BYTES * plan.hidden * plan.facts.recurrent_state_length * plan.context.slots
