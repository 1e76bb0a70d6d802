"""The compute graph of a GGUF model: embeddings, blocks, head."""

from collections import Counter
from collections.abc import Iterator

from moorage_common.modelfiles.architectures import (
    ATTENTION_FIRST,
    OWN_NORMS,
    RECURRENT,
    RESIDUAL_FIRST,
    Recurrence,
    Recurrent,
)
from moorage_scheduler.estimators import gguf_own_embeddings as own_embeddings
from moorage_scheduler.estimators.gguf_attention import attention, latent_attention
from moorage_scheduler.estimators.gguf_feed_forward import feed_forward, feeds_forward
from moorage_scheduler.estimators.gguf_plan import FLOAT_BYTES, INDEX_BYTES, Plan
from moorage_scheduler.estimators.gguf_recurrent import recurrent
from moorage_scheduler.estimators.gguf_rwkv import shifted
from moorage_scheduler.estimators.graph import Device, Graph, Tensor

EMBEDDED = 3
"""Embeddings of a whole batch that a GPU has to itself: of tokens, of tokens among images, and of images among them."""
_ALIKE = 3
"""Blocks of one kind that are gone through at least: the next ones find the buffer as the one before left it."""


def model_graph(plan: Plan) -> Graph:
    """Returns the graph that llama.cpp reserves its buffers for: as many tokens at once as there may be."""
    graph = Graph()
    looked_up = own_embeddings.look_up(graph, plan)
    state = _embedded(graph, plan)
    own = own_embeddings.joined(graph, looked_up, state) if looked_up else None
    graph.device = plan.device
    blocks = list(_blocks(plan))
    rows = plan.tokens
    for block in blocks:
        rows = plan.context.outputs if block == blocks[-1] else plan.tokens
        state = _block(graph, plan, block, state, rows)
        if own:
            state = own_embeddings.added(graph, plan, own, state, rows)
    state = _norm(graph, state)
    graph.run(graph.compute(FLOAT_BYTES * plan.facts.vocabulary_size * rows, state, kept=True))
    return graph


def _embedded(graph: Graph, plan: Plan) -> Tensor:
    """Tokens are looked up on the host. An image's embeddings, alone or among tokens, would come in beside them."""
    hidden = plan.floats(plan.hidden)
    graph.device = Device.HOST
    embedded = graph.compute(hidden, graph.input("tokens", FLOAT_BYTES * plan.tokens))
    among = graph.compute(hidden, graph.input("tokens among images", FLOAT_BYTES * plan.tokens))
    graph.run(embedded)
    graph.run(among)
    graph.run(graph.input("images", hidden))
    graph.device = plan.device
    mixture = graph.compute(hidden, graph.input("images among tokens", hidden), kept=True)
    graph.run(mixture)
    graph.store(among, graph.input("places of tokens", INDEX_BYTES * plan.tokens), mixture)
    return embedded


def _blocks(plan: Plan) -> Iterator[int]:
    """Blocks from the first until there were some of each kind, and the last: the rest repeats what those did."""
    facts = plan.facts
    kinds = [
        (
            facts.head_counts[block],
            facts.block_key_elements[block],
            facts.block_state_bytes[block],
            facts.feed_forward_lengths[block],
            bool(facts.block_expert_bytes[block]),
            plan.slides(block),
        )
        for block in range(facts.block_count - facts.nextn_block_count)
    ]
    missing = {kind: min(count, _ALIKE) for kind, count in Counter(kinds).items()}
    for block, kind in enumerate(kinds):
        if missing or block == len(kinds) - 1:
            yield block
        if kind in missing:
            missing[kind] -= 1
            if not missing[kind]:
                del missing[kind]


def _block(graph: Graph, plan: Plan, block: int, state: Tensor, rows: int) -> Tensor:
    normed = _before(graph, plan, state)
    if _is_delta_net(plan):
        graph.run(normed)
    mixed = _mixed(graph, plan, block, state, normed)
    fed = feeds_forward(plan, block)
    if rows != plan.tokens:
        chosen, hidden = graph.input("outputs", FLOAT_BYTES * rows), plan.floats(plan.hidden, rows)
        mixed = graph.compute(hidden, mixed, chosen) if mixed else None
        state, normed = graph.compute(hidden, state, chosen), graph.compute(hidden, normed, chosen)
    if mixed and fed and plan.facts.parallel_feed_forward:
        return _side_by_side(graph, plan, block, (state, normed, mixed), rows)
    if mixed:
        state = _added(graph, plan, mixed, state)
    if fed:
        read = _before(graph, plan, state) if mixed else normed
        if _is_rwkv(plan):
            read = shifted(graph, normed, read)
        state = _added(graph, plan, feed_forward(graph, plan, block, read, rows), state)
    return state


def _side_by_side(
    graph: Graph, plan: Plan, block: int, tensors: tuple[Tensor, Tensor, Tensor], rows: int
) -> Tensor:
    """Sums up attention and a feed-forward layer that read the same."""
    state, normed, mixed = tensors
    architecture = plan.facts.architecture
    read = _norm(graph, state) if architecture in OWN_NORMS else normed
    fed = feed_forward(graph, plan, block, read, rows)
    both = graph.revise(mixed, fed) if architecture in ATTENTION_FIRST else graph.revise(fed, mixed)
    return graph.revise(both, state)


def _added(graph: Graph, plan: Plan, result: Tensor, state: Tensor) -> Tensor:
    if plan.facts.architecture in RESIDUAL_FIRST:
        return graph.revise(state, result)
    return graph.revise(result, state)


def _mixed(graph: Graph, plan: Plan, block: int, state: Tensor, normed: Tensor) -> Tensor | None:
    """What the block makes of other tokens. None: nothing."""
    facts = plan.facts
    hidden, parts = plan.floats(plan.hidden), []
    if facts.head_counts[block] and _attends(plan, block):
        form = latent_attention if facts.kv_lora_rank else attention
        parts.append(graph.compute(hidden, form(graph, plan, block, normed)))
    if facts.block_state_bytes[block]:
        # Beside attention it reads its own norm of the same.
        parts.append(recurrent(graph, plan, block, _norm(graph, state) if parts else normed))
    if len(parts) > 1:
        return graph.revise(parts[0], parts[1])
    return parts[0] if parts else None


def _attends(plan: Plan, block: int) -> bool:
    rule = RECURRENT.get(plan.facts.architecture)
    if rule is None or rule.blocks is Recurrent.BESIDE_ATTENTION:
        return True
    return bool(plan.facts.block_key_elements[block])


def _is_delta_net(plan: Plan) -> bool:
    rule = RECURRENT.get(plan.facts.architecture)
    return rule is not None and rule.recurrence in {Recurrence.DELTA_NET, Recurrence.KIMI_DELTA}


def _is_rwkv(plan: Plan) -> bool:
    rule = RECURRENT.get(plan.facts.architecture)
    return rule is not None and rule.recurrence in {Recurrence.RWKV6, Recurrence.RWKV7}


def _before(graph: Graph, plan: Plan, state: Tensor) -> Tensor:
    """What a layer reads."""
    return state if plan.facts.post_normed else _norm(graph, state)


def _norm(graph: Graph, state: Tensor) -> Tensor:
    return graph.revise(graph.revise(state))
