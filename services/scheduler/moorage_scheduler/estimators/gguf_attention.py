"""The tensors of attention, in the forms that llama.cpp computes."""

from moorage_common.modelfiles.architectures import NORMED_VALUES, RECURRENT, UNROTATED, Recurrence
from moorage_scheduler.estimators.gguf_plan import FLOAT_BYTES, HALF_BYTES, INDEX_BYTES, Plan
from moorage_scheduler.estimators.graph import Graph, Tensor

_ROTATION = 64


def attention(graph: Graph, plan: Plan, block: int, normed: Tensor) -> Tensor:
    """Returns what a block's attention makes of its normed input, before it is projected back."""
    heads, heads_kv = plan.facts.head_counts[block], plan.facts.head_counts_kv[block]
    key, value = plan.key_length(block), plan.value_length(block)
    gated = _is_gated(plan)
    queries = plan.floats(heads * key)
    if plan.facts.fused_attention:
        together = graph.compute(plan.floats(heads * key + heads_kv * (key + value)), normed)
        query_source = key_source = graph.view(together)
        keys_size = plan.floats(heads_kv * key)
        values = graph.view(together, plan.floats(heads_kv * value))
    else:
        query_source = graph.view(graph.compute(queries * (2 if gated else 1), normed))
        key_source = graph.view(graph.compute(plan.floats(heads_kv * key), normed))
        keys_size = key_source.size
        values = graph.view(graph.compute(plan.floats(heads_kv * value), normed))
    if plan.facts.architecture in NORMED_VALUES:
        values = graph.compute(values.size, values)
    query = _turned(graph, plan, query_source, queries)
    keys = _turned(graph, plan, key_source, keys_size)
    gate = graph.view(query_source, queries) if gated else None
    cache = _cache(plan, block)
    if _rotates(plan, key):
        rotation = graph.input(f"rotation of keys, {cache}", FLOAT_BYTES * _power(key) ** 2)
        query, keys = _rotated(graph, query, rotation), _rotated(graph, keys, rotation)
    if _rotates(plan, value):
        rotation = graph.input(f"rotation of values, {cache}", FLOAT_BYTES * _ROTATION**2)
        values = _rotated(graph, values, rotation)
    plain = plan.cached and not any(plan.facts.sliding_window_blocks)
    for tensor in (query, values, keys) if plain else (query, keys, values):
        graph.run(tensor)
    result = _attend(graph, plan, block, query, (keys, values))
    if _rotates(plan, value):
        result = _rotated(graph, result, rotation)
    if gate is not None:
        result = graph.revise(result, graph.revise(graph.compute(gate.size, gate)))
    return result


def latent_attention(graph: Graph, plan: Plan, block: int, normed: Tensor) -> Tensor:
    """As `attention`, where all heads share one compressed key, which is kept, and whose part is the value."""
    facts = plan.facts
    heads, rank = facts.head_counts[block], facts.kv_lora_rank
    rotated = facts.key_length - rank
    query = graph.view(graph.compute(plan.floats(heads * facts.key_length_mla), normed))
    compressed = graph.compute(plan.floats(facts.key_length), normed)
    latent = graph.compute(plan.floats(rank), graph.view(compressed))
    latent = graph.view(graph.revise(latent))
    key_end = _turned(graph, plan, graph.view(compressed), plan.floats(rotated))
    query_end = _turned(graph, plan, graph.view(query), plan.floats(heads * rotated))
    absorbed = graph.compute(plan.floats(heads * rank), graph.view(query))
    query = graph.compute(plan.floats(heads * facts.key_length), graph.view(absorbed), query_end)
    keys = graph.compute(plan.floats(facts.key_length), latent, key_end)
    for tensor in (query, latent, keys):
        graph.run(tensor)
    graph.store(graph.view(keys), graph.input("cells of keys", INDEX_BYTES * plan.tokens))
    # Without flash attention what is opened comes before the heads are put side by side: the sizes are the same.
    mixed = _mix(graph, plan, block, query, value_length=rank)
    opened = graph.compute(plan.floats(heads * facts.value_length_mla), graph.view(mixed))
    result = graph.view(graph.compute(opened.size, graph.view(opened)))
    graph.run(result)
    return result


def _attend(graph: Graph, plan: Plan, block: int, query: Tensor, text: tuple[Tensor, Tensor]) -> Tensor:
    """What the heads make of the keys and values of a text, and of those that are kept."""
    if plan.cached:
        keys, values = text
        cache = _cache(plan, block)
        graph.store(graph.view(keys), graph.input(f"cells of keys, {cache}", INDEX_BYTES * plan.tokens))
        # Without flash attention values are kept by column, and each is put into its own place.
        each = 1 if plan.flash else max(plan.facts.block_value_elements)
        places = graph.input(f"cells of values, {cache}", INDEX_BYTES * plan.tokens * each)
        graph.store(graph.view(values), places)
        mixed = _mix(graph, plan, block, query, value_length=plan.value_length(block))
    else:
        mixed = _mix(graph, plan, block, query, value_length=plan.value_length(block), text=text)
    result = graph.view(mixed)
    graph.run(result)
    return result


def _mix(
    graph: Graph,
    plan: Plan,
    block: int,
    query: Tensor,
    *,
    value_length: int,
    text: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """What the heads make of all values that they look at.

    Args:
        graph: The graph.
        plan: The model.
        block: The block.
        query: Of each head, for each token.
        value_length: Values in one head's value.
        text: Keys and values of the text itself. None: they are in the cache.
    """
    heads, cells = plan.facts.head_counts[block], plan.cells(block)
    result = plan.floats(heads * value_length)
    name = f"mask, {_cache(plan, block)}"
    query = graph.view(graph.view(query))
    looked_at = [graph.view(tensor) for tensor in text or ()]
    if plan.flash:
        mask = graph.input(name, HALF_BYTES * cells * plan.tokens)
        halves = [graph.compute(tensor.size * HALF_BYTES // FLOAT_BYTES, tensor) for tensor in looked_at]
        return graph.compute(result + _unpacked(plan, block, cells), query, *halves, mask)
    mask = graph.input(name, FLOAT_BYTES * cells * plan.tokens)
    scores = graph.revise(graph.compute(plan.floats(heads * cells), *looked_at[:1], query), mask)
    turned = [graph.compute(tensor.size, tensor) for tensor in looked_at[1:]]
    if plan.facts.kv_lora_rank and text is None:
        # The value is a part of the key, and lies across.
        turned = [graph.compute(HALF_BYTES * cells * plan.context.streams * value_length)]
    mixed = graph.compute(result, *turned, scores)
    return graph.compute(result, graph.view(mixed))


def _unpacked(plan: Plan, block: int, cells: int) -> int:
    if not plan.unpacks:
        return 0
    elements = plan.facts.block_key_elements[block] + plan.facts.block_value_elements[block]
    return HALF_BYTES * elements * cells * plan.context.streams


def _rotates(plan: Plan, length: int) -> bool:
    """Whether heads are turned before they are quantised, which spreads outliers."""
    return plan.cached and plan.context.quantized and length > 0 and length % _ROTATION == 0


def _turned(graph: Graph, plan: Plan, source: Tensor, size: int) -> Tensor:
    """Vectors turned with their position, where the architecture does that."""
    if plan.facts.architecture in UNROTATED:
        return graph.view(source, size)
    return graph.compute(size, source, graph.input("positions", FLOAT_BYTES * plan.tokens))


def _rotated(graph: Graph, tensor: Tensor, rotation: Tensor) -> Tensor:
    return graph.view(graph.compute(tensor.size, rotation, graph.view(tensor)))


def _cache(plan: Plan, block: int) -> str:
    """Which of its caches a block uses: each has inputs of its own."""
    return "window" if plan.slides(block) else "everything"


def _power(length: int) -> int:
    """The largest power of two times `_ROTATION` that divides a length."""
    power = _ROTATION
    while length % (2 * power) == 0:
        power *= 2
    return power


def _is_gated(plan: Plan) -> bool:
    rule = RECURRENT.get(plan.facts.architecture)
    return rule is not None and rule.recurrence is Recurrence.DELTA_NET
