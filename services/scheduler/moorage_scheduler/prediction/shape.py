"""What has to be read and computed of a model for one token."""

from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import repeat

from moorage_common.core.placement import KvCacheType
from moorage_common.modelfiles.gguf_facts import GgufFacts
from moorage_common.modelfiles.safetensors_facts import SafetensorsFacts
from moorage_scheduler.core.request import Facts, LlamaCppOptions, VllmOptions
from moorage_scheduler.core.sizes import LayerSizes, VllmSizes
from moorage_scheduler.estimators.vllm_dtypes import WIDTHS, compute_width
from moorage_scheduler.estimators.vllm_weights import weights_of

_KV_VALUE_BYTES = {KvCacheType.F16: 2.0, KvCacheType.Q8_0: 34 / 32, KvCacheType.Q4_0: 18 / 32}
_USUAL_WEIGHT_BYTES = 2.0
"""Of a weight in a model whose sizes are given without its number of parameters: 16 bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One layer of a model, or the output layer."""

    weight_bytes: float
    """Read for each token: of experts only as many as are used."""
    idle_bytes: float = 0.0
    """Weights of experts that are not used for the token."""
    kv_bytes: float = 0.0
    """What one token of context keeps here, and is read for each token after it."""
    window: int = 0
    """So many tokens of context are read at most. 0: all."""
    attention_values: float = 0.0
    """Products that one token of context costs each token after it."""
    state_bytes: float = 0.0
    """Recurrent state, read and written for each token."""

    def context_bytes(self, depth: int) -> float:
        """Bytes read of what is kept, with so many tokens of context."""
        return self.kv_bytes * self._seen(depth) + 2 * self.state_bytes

    def context_products(self, depth: int) -> float:
        """Products of attention, with so many tokens of context."""
        return self.attention_values * self._seen(depth)

    def _seen(self, depth: int) -> int:
        return min(depth, self.window) if self.window else depth


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """One model."""

    blocks: tuple[Block, ...]
    """From the first; the last is the output layer."""
    hidden: int
    """Values that one layer hands on to the next. 0: not known."""
    vocabulary: int = 0
    """Values that the output layer makes. 0: not known."""
    weight_type: str = ""
    """The type that most weights have, as the files name it, e.g. ``Q4_K`` or ``fp8``. Empty: 16-bit floats."""
    bytes_per_weight: float
    """On average."""

    @property
    def weight_bytes(self) -> float:
        """Bytes of weights that are read for one token."""
        return sum(block.weight_bytes for block in self.blocks)


def shape_of(
    facts: Facts,
    options: LlamaCppOptions | None = None,
    vllm: VllmOptions | None = None,
) -> ModelShape:
    """Returns the shape of a model as its engine loads it.

    Args:
        facts: What is known of the model.
        options: How llama.cpp is started.
        vllm: How vLLM is started.
    """
    match facts:
        case GgufFacts():
            return _of_gguf(facts, options or LlamaCppOptions())
        case SafetensorsFacts():
            return _of_safetensors(facts, vllm or VllmOptions())
        case LayerSizes():
            blocks = facts.block_weight_bytes
            context = (options and options.context_length) or facts.context_length
            return _of_sizes(facts, blocks, context)
        case VllmSizes():
            context = (vllm and vllm.max_model_len) or facts.context_length
            return _of_sizes(facts, _blocks_of(facts), context)


# A scheduler asks for the same model again and again: for each replica that it places.
@lru_cache(maxsize=256)
def _of_gguf(facts: GgufFacts, options: LlamaCppOptions) -> ModelShape:
    used = facts.expert_used_count / facts.expert_count if facts.expert_count else 1.0
    experts = facts.block_expert_bytes
    if not any(experts):
        # Artifacts that were looked at before experts were told apart say nothing of them.
        experts = (_expert_bytes(facts),) * facts.block_count
    value_bytes = _KV_VALUE_BYTES[options.kv_cache_type]
    windows = facts.sliding_window_blocks or (False,) * facts.block_count
    # Latent attention in its compressed form has one head, whose value is a part of its key.
    value_length = (
        0 if facts.kv_lora_rank and max(facts.head_counts_kv, default=0) == 1 else facts.value_length
    )
    blocks = [
        Block(
            weight_bytes=size - min(size, expert) * (1 - used),
            idle_bytes=min(size, expert) * (1 - used),
            kv_bytes=kept * (facts.key_length + value_length) * value_bytes,
            window=facts.sliding_window if windowed else 0,
            attention_values=heads * (facts.key_length + facts.value_length),
            state_bytes=state,
        )
        for size, expert, kept, heads, windowed, state in zip(
            facts.block_bytes,
            experts,
            facts.head_counts_kv,
            facts.head_counts,
            windows,
            facts.block_state_bytes or (0,) * facts.block_count,
            strict=True,
        )
    ]
    head = facts.token_embedding_bytes if facts.tied_embedding else 0
    return ModelShape(
        blocks=(*blocks, Block(weight_bytes=facts.output_bytes + head)),
        hidden=facts.embedding_length,
        vocabulary=facts.vocabulary_size,
        weight_type=facts.quantization,
        bytes_per_weight=_ratio(facts.total_tensor_bytes, facts.parameter_count),
    )


def _expert_bytes(facts: GgufFacts) -> int:
    """Bytes of one block's experts by their width: as many bits a weight as the model has on average."""
    width = facts.expert_feed_forward_length or max(facts.feed_forward_lengths, default=0)
    weights = 3 * facts.expert_count * facts.embedding_length * width
    return int(weights * _ratio(facts.total_tensor_bytes, facts.parameter_count))


def _of_safetensors(facts: SafetensorsFacts, options: VllmOptions) -> ModelShape:
    weights = weights_of(facts, options)
    used = facts.expert_used_count / facts.expert_count if facts.expert_count else 1.0
    count = max(1, facts.block_count)
    values = facts.latent_values_per_token or 2 * facts.head_count_kv * facts.head_size
    cached = WIDTHS[options.kv_cache_dtype] if options.kv_cache_dtype else compute_width(options.dtype)
    block = Block(
        # Second copies of latent matrices are read in place of the first.
        weight_bytes=(weights.blocks + weights.whole + weights.experts * used) / count,
        kv_bytes=values * cached,
        attention_values=2 * facts.head_count * facts.head_size,
    )
    # Which of them are which is not known, but how many are: they are taken to alternate.
    blocks = _alternating(*_sorts_of_blocks(facts, block, count))
    return ModelShape(
        blocks=(*blocks, Block(weight_bytes=weights.head)),
        hidden=facts.hidden_size,
        vocabulary=facts.vocabulary_size,
        weight_type=facts.quantization,
        bytes_per_weight=_ratio(facts.total_tensor_bytes, facts.parameter_count),
    )


def _sorts_of_blocks(facts: SafetensorsFacts, block: Block, count: int) -> tuple[tuple[Block, int], ...]:
    """How many blocks of a model keep keys and values, of all tokens or of a window, a state, both, or nothing."""
    recurrent = min(facts.recurrent_block_count, count)
    attending = min(facts.attention_block_count, count) or (0 if recurrent else count)
    both = max(0, attending + recurrent - count)
    windows = min(facts.sliding_window_block_count, attending - both) if facts.sliding_window else 0
    state = facts.recurrent_state_bytes
    neither = replace(block, kv_bytes=0.0, attention_values=0.0)
    return (
        (block, attending - both - windows),
        (replace(block, window=facts.sliding_window), windows),
        (replace(neither, state_bytes=state), recurrent - both),
        (replace(block, state_bytes=state), both),
        (neither, max(0, count - attending - recurrent)),
    )


def _alternating(*groups: tuple[Block, int]) -> tuple[Block, ...]:
    placed = [
        ((position + 0.5) / number, block)
        for block, number in groups
        for position, block in enumerate(repeat(block, number))
    ]
    return tuple(block for _, block in sorted(placed, key=lambda pair: pair[0]))


def _of_sizes(sizes: LayerSizes | VllmSizes, blocks: tuple[int, ...], context: int) -> ModelShape:
    given, active = sum(blocks) + sizes.output_bytes, sizes.active_weight_bytes
    share = min(1.0, active / given) if active and given else 1.0
    kept = sizes.block_kv_bytes or (sizes.kv_bytes_per_token_per_block,) * len(blocks)
    tokens = max(1, context) if sizes.block_kv_bytes else 1
    layers = [
        Block(weight_bytes=size * share, kv_bytes=cache / tokens)
        for size, cache in zip(blocks, kept, strict=True)
    ]
    return ModelShape(
        blocks=(*layers, Block(weight_bytes=sizes.output_bytes * share)),
        hidden=0,
        vocabulary=sizes.vocabulary_size if isinstance(sizes, VllmSizes) else 0,
        bytes_per_weight=_USUAL_WEIGHT_BYTES,
    )


def _blocks_of(sizes: VllmSizes) -> tuple[int, ...]:
    if sizes.block_weight_bytes:
        return sizes.block_weight_bytes
    count = max(1, sizes.block_count)
    rest = max(0, sizes.weight_bytes - sizes.output_bytes - sizes.token_embedding_bytes)
    return (rest // count,) * count


def _ratio(size: int, parameters: int) -> float:
    return size / parameters if parameters else _USUAL_WEIGHT_BYTES
