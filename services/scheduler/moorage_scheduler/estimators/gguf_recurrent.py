"""The tensors of recurrent blocks, in the forms that llama.cpp computes."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from moorage_common.modelfiles.architectures import RECURRENT, Recurrence
from moorage_scheduler.estimators.gguf_plan import FLOAT_BYTES, Plan
from moorage_scheduler.estimators.gguf_rwkv import rwkv6, rwkv7
from moorage_scheduler.estimators.graph import Graph, Tensor

_FIRST_DELTA_NET = "qwen3next"


def recurrent(graph: Graph, plan: Plan, block: int, normed: Tensor) -> Tensor:
    """Returns what a block's recurrence makes of its normed input."""
    rule = RECURRENT.get(plan.facts.architecture)
    form = _FORMS[rule.recurrence] if rule else _mamba2
    return form(graph, plan, block, normed)


def _mamba(graph: Graph, plan: Plan, block: int, normed: Tensor) -> Tensor:
    facts = plan.facts
    inner, state = plan.floats(facts.recurrent_inner_length), facts.recurrent_state_length
    both = graph.compute(2 * inner, normed)
    convolved = graph.revise(graph.revise(_convolution(graph, plan, facts.recurrent_inner_length, both)))
    selection = graph.compute(plan.floats(facts.recurrent_head_count + 2 * state), convolved)
    rank = graph.compute(plan.floats(facts.recurrent_head_count), graph.view(selection))
    steps = graph.revise(graph.compute(inner, rank))
    ends = [graph.compute(plan.floats(state), graph.view(selection)) for _ in range(2)]
    scanned = _scan(graph, plan, block, inner, graph.view(convolved), steps, *ends)
    return _gated(graph, plan, both, scanned, graph.revise(convolved))


def _mamba2(graph: Graph, plan: Plan, block: int, normed: Tensor) -> Tensor:
    facts = plan.facts
    inner, channels = plan.floats(facts.recurrent_inner_length), _channels(plan)
    everything = graph.view(graph.compute(inner + plan.floats(channels + facts.recurrent_head_count), normed))
    convolved = graph.revise(graph.revise(_convolution(graph, plan, channels, everything)))
    steps = graph.revise(graph.compute(plan.floats(facts.recurrent_head_count), graph.view(everything)))
    parts = [graph.view(convolved, inner), graph.view(convolved), graph.view(convolved)]
    scanned = _scan(graph, plan, block, inner, parts[0], steps, *parts[1:])
    return _gated(graph, plan, everything, scanned, graph.compute(inner, parts[0]))


def _gated(graph: Graph, plan: Plan, both: Tensor, scanned: Tensor, skipped: Tensor) -> Tensor:
    """Adds what went past the scan, multiplies with the gate, and projects back."""
    result = graph.revise(skipped, graph.view(scanned))
    gate = graph.compute(result.size, graph.view(both))
    result = graph.compute(result.size, gate, result)
    result = graph.revise(graph.compute(result.size, graph.view(result)))
    return graph.compute(plan.floats(plan.hidden), graph.view(result))


def _scan(graph: Graph, plan: Plan, block: int, inner: int, *sources: Tensor) -> Tensor:
    """Goes over the tokens. The states of slots that have none of them are moved, too."""
    slots, state = plan.context.slots, _state_bytes(plan, block)
    scanned = graph.compute(inner + slots * state, *sources, _slot_numbers(graph, plan))
    graph.run(scanned)
    graph.store(graph.view(graph.compute((slots - 1) * state, _slot_numbers(graph, plan))))
    graph.store(graph.view(scanned))
    return scanned


def _convolution(graph: Graph, plan: Plan, channels: int, source: Tensor) -> Tensor:
    """Convolves with the last tokens of each slot before, which are kept as a state of their own."""
    facts, slots = plan.facts, plan.context.slots
    before = FLOAT_BYTES * max(0, facts.recurrent_kernel_length - 1) * channels * slots
    kept = graph.view(graph.compute(before, _slot_numbers(graph, plan)))
    graph.run(kept)
    joined = graph.compute(before + plan.floats(channels), kept, graph.view(source))
    graph.store(graph.view(joined))
    return graph.compute(plan.floats(channels), joined)


def _delta_net(graph: Graph, plan: Plan, block: int, normed: Tensor) -> Tensor:
    facts = plan.facts
    inner, channels = plan.floats(facts.recurrent_inner_length), _channels(plan)
    heads, groups = plan.floats(facts.recurrent_head_count), facts.recurrent_group_count
    mixed = graph.compute(plan.floats(channels), normed)
    first = facts.architecture == _FIRST_DELTA_NET
    # What is taken in of a token, and how much of the rest fades, come out of one matrix there, and then of two.
    if first:
        strengths = [graph.view(graph.compute(2 * heads, normed))] * 2
    else:
        strengths = [graph.view(graph.compute(heads, normed)) for _ in range(2)]
    taken, faded = (graph.revise(graph.compute(heads, strength)) for strength in strengths)
    joined = _convolution(graph, plan, channels, mixed)
    states = _states(graph, plan, block)
    convolved = graph.revise(joined)
    keys = []
    for _ in ("query", "key"):
        key = graph.compute(plan.floats(groups * facts.recurrent_state_length), graph.view(convolved))
        if first and groups != facts.recurrent_head_count:
            wide = plan.floats(facts.recurrent_head_count * facts.recurrent_state_length)
            key = graph.compute(wide, graph.view(key))
        keys.append(graph.view(key))
    size = inner + plan.context.slots * _state_bytes(plan, block)
    result = graph.compute(size, *keys, graph.view(convolved), graph.view(faded), graph.view(taken), states)
    graph.store(graph.view(result))
    rule = graph.revise(graph.compute(inner, graph.view(result)))
    gate = graph.compute(inner, graph.view(graph.compute(inner, normed)))
    return graph.compute(plan.floats(plan.hidden), graph.view(graph.revise(rule, gate)))


def _kimi_delta(graph: Graph, plan: Plan, block: int, normed: Tensor) -> Tensor:
    facts = plan.facts
    inner = plan.floats(facts.recurrent_inner_length)
    parts = []
    for part in ("query", "key", "value"):
        projected = graph.compute(inner, normed)
        convolved = _convolution(graph, plan, facts.recurrent_inner_length, graph.view(projected))
        result = graph.compute(inner, graph.view(convolved))
        parts.append(result if part == "value" else graph.compute(inner, graph.view(result)))
    fading = graph.revise(
        graph.compute(inner, graph.compute(plan.floats(facts.recurrent_state_length), normed))
    )
    taken = graph.revise(graph.compute(plan.floats(facts.recurrent_head_count), normed))
    states = _states(graph, plan, block)
    size = inner + plan.context.slots * _state_bytes(plan, block)
    everything = graph.compute(size, *parts, graph.view(fading), graph.view(taken), states)
    result = graph.compute(inner, graph.view(everything))
    graph.store(graph.view(everything))
    gate = graph.compute(inner, graph.compute(plan.floats(facts.recurrent_state_length), normed))
    normal = graph.revise(graph.compute(inner, graph.view(result)))
    gated = graph.revise(normal, graph.compute(inner, graph.view(gate)))
    return graph.compute(plan.floats(plan.hidden), graph.compute(inner, gated))


def _short_convolution(graph: Graph, plan: Plan, block: int, normed: Tensor) -> Tensor:
    del block
    hidden = plan.floats(plan.hidden)
    three = graph.compute(3 * hidden, graph.view(normed))
    product = graph.compute(hidden, graph.view(three), graph.view(three))
    convolved = _convolution(graph, plan, plan.hidden, product)
    return graph.compute(hidden, graph.revise(convolved, graph.view(three)))


def _lightning(graph: Graph, plan: Plan, block: int, normed: Tensor) -> Tensor:
    facts = plan.facts
    inner, heads = plan.floats(facts.recurrent_inner_length), facts.recurrent_head_count
    states = _states(graph, plan, block)
    parts = [graph.compute(inner, normed) for _ in ("query", "key", "value")]
    looks = graph.compute(plan.floats(heads * plan.tokens), *parts[:2])
    decayed = graph.revise(looks, graph.input("decay", plan.floats(heads * plan.tokens)))
    result = graph.compute(inner, decayed, parts[2], states)
    graph.store(graph.compute(plan.context.slots * _state_bytes(plan, block), parts[1], parts[2]))
    gate = graph.compute(inner, normed)
    return graph.compute(plan.floats(plan.hidden), graph.revise(result, gate))


def _channels(plan: Plan) -> int:
    facts = plan.facts
    return facts.recurrent_inner_length + 2 * facts.recurrent_group_count * facts.recurrent_state_length


def _states(graph: Graph, plan: Plan, block: int) -> Tensor:
    size = plan.context.slots * _state_bytes(plan, block)
    states = graph.view(graph.compute(size, _slot_numbers(graph, plan)))
    graph.run(states)
    return states


def _state_bytes(plan: Plan, block: int) -> int:
    """Bytes of what one slot carries on, without the last tokens that a convolution sees."""
    facts = plan.facts
    del block
    return FLOAT_BYTES * facts.recurrent_inner_length * facts.recurrent_state_length


def _slot_numbers(graph: Graph, plan: Plan) -> Tensor:
    return graph.input("slots", FLOAT_BYTES * plan.context.slots)


_FORMS: Mapping[Recurrence, Callable[[Graph, Plan, int, Tensor], Tensor]] = MappingProxyType(
    {
        Recurrence.MAMBA: _mamba,
        Recurrence.MAMBA2: _mamba2,
        Recurrence.DELTA_NET: _delta_net,
        Recurrence.KIMI_DELTA: _kimi_delta,
        Recurrence.SHORT_CONVOLUTION: _short_convolution,
        Recurrence.LIGHTNING: _lightning,
        Recurrence.RWKV6: rwkv6,
        Recurrence.RWKV7: rwkv7,
    }
)
