"""What config.json and the sums of the tensors say of a model, as its facts."""

from collections.abc import Iterable
from dataclasses import dataclass

from moorage_common.modelfiles.config_category import read_category
from moorage_common.modelfiles.config_context import read_context_length
from moorage_common.modelfiles.config_defaults import VISION_HEADS
from moorage_common.modelfiles.config_keys import MAX_BLOCKS, ConfigKeys
from moorage_common.modelfiles.config_layers import RECURRENT, read_layers
from moorage_common.modelfiles.config_quantization import Quantization
from moorage_common.modelfiles.config_state import recurrent_state_bytes
from moorage_common.modelfiles.safetensors_facts import SafetensorsFacts
from moorage_common.modelfiles.safetensors_weights import WeightSums

_VISION_SECTIONS = ("vision_config", "visual", "vision_encoder", "vit_config")
_VISION_HEAD_KEYS = ("num_attention_heads", "num_heads", "attention_heads", "heads")
_DTYPES = {"BF16": "bfloat16", "F16": "float16", "F32": "float32"}
# They have the same keys and keep the vectors of every head all the same.
_NOT_LATENT = frozenset({"minicpm3"})
_ONE_KV_HEAD = frozenset({"falcon", "gpt_bigcode", "RefinedWeb", "RefinedWebModel"})


def safetensors_facts(
    config: ConfigKeys,
    *,
    quantization: Quantization,
    sentences: ConfigKeys | None,
    weights: WeightSums,
    files: Iterable[str],
) -> SafetensorsFacts:
    """Puts a model's facts together.

    Args:
        config: Its config.json.
        quantization: How its weights are quantised.
        sentences: What sentence-transformers says of the texts that it takes; None: nothing.
        weights: The sums of its tensors.
        files: Paths in the model's folder.

    Raises:
        FailedPrecondition: MODEL_FILE_INVALID, with what was read.
    """
    language = config.language()
    architecture = next((name for name in config.list("architectures") if isinstance(name, str)), "")[:200]
    shape = _read_shape(language)
    layers = read_layers(language, shape.blocks)
    if layers.attention and not (shape.heads and shape.heads_kv and shape.head_size):
        raise config.fail(
            f"it gives {shape.heads} attention heads, {shape.heads_kv} key/value heads of {shape.head_size} values"
        )
    experts = _experts(language)
    return SafetensorsFacts(
        architecture=architecture if architecture.isprintable() else "",
        model_type=config.model_type,
        parameter_count=weights.parameter_count,
        total_tensor_bytes=weights.total_bytes,
        tensor_bytes_by_dtype=dict(weights.bytes_by_dtype),
        tower_bytes=weights.tower_bytes,
        expert_bytes=weights.expert_bytes,
        embedding_bytes=weights.embedding_bytes,
        dtype=_dtype(config, weights),
        quantization=quantization.method,
        quantization_bits=quantization.bits,
        block_count=shape.blocks,
        hidden_size=shape.hidden,
        feed_forward_length=_feed_forward_length(language, shape.hidden),
        head_count=shape.heads,
        head_count_kv=shape.heads_kv,
        head_size=shape.head_size,
        vision_head_count=_vision_heads(config),
        vocabulary_size=language.number(
            "vocab_size", "padded_vocab_size", default=min(weights.embedding_rows, 2**31 - 1)
        ),
        context_length=read_context_length(language, sentences),
        sliding_window=layers.window,
        sliding_window_block_count=layers.sliding,
        attention_block_count=layers.attention,
        latent_values_per_token=_latent_values(language),
        expert_count=experts,
        expert_used_count=_experts_used(language, experts),
        category=read_category(architecture, files),
        expert_feed_forward_length=_expert_feed_forward_length(language) if experts else 0,
        expert_block_count=min(weights.expert_block_count(shape.blocks), shape.blocks),
        quantization_group_size=quantization.group_size,
        recurrent_block_count=layers.recurrent,
        recurrent_state_bytes=recurrent_state_bytes(language) if layers.recurrent else 0,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shape:
    blocks: int
    hidden: int
    heads: int
    heads_kv: int
    head_size: int


def _read_shape(language: ConfigKeys) -> _Shape:
    listed = max(len(language.list(key)) for key in ("hybrid_override_pattern", "layers_block_type"))
    blocks = language.number(
        "num_hidden_layers", "n_layer", "n_layers", "num_layers", "decoder_layers", default=listed or None
    )
    if not 1 <= blocks <= MAX_BLOCKS:
        raise language.fail(f"it gives {blocks:,} layers; 1 to {MAX_BLOCKS:,} are believed")
    hidden = language.number("hidden_size", "n_embd", "d_model")
    # What recurrent ones call heads are not of attention.
    attends = language.model_type not in RECURRENT
    heads = language.number("num_attention_heads", "n_head", "n_heads", "num_heads") if attends else 0
    return _Shape(
        blocks=blocks,
        hidden=hidden,
        heads=heads,
        heads_kv=_heads_kv(language, heads),
        head_size=_head_size(language, hidden, heads),
    )


def _heads_kv(language: ConfigKeys, heads: int) -> int:
    if (attention := language.section("attn_config")) and attention.has("kv_n_heads"):
        return attention.number("kv_n_heads")
    for block in language.sections("block_configs"):
        if (attention := block.section("attention")) and attention.has("n_heads_in_group"):
            return heads // max(1, attention.number("n_heads_in_group"))
    if language.model_type in _ONE_KV_HEAD and not language.flag("new_decoder_architecture"):
        return 1 if language.flag("multi_query", default=True) else heads
    return language.number(
        "n_head_kv",
        "num_kv_heads",
        "num_key_value_heads",
        "multi_query_group_num",
        "num_attention_groups",
        default=heads,
    )


def _head_size(language: ConfigKeys, hidden: int, heads: int) -> int:
    if _latent_values(language):
        size = language.number("qk_nope_head_dim", default=0) + language.number("qk_rope_head_dim")
        return language.believable("values of a head", size)
    given = language.number("head_dim", "hidden_size_per_head", "attention_head_dim", default=0)
    return given or (hidden // heads if heads else 0)


def _latent_values(language: ConfigKeys) -> int:
    """Values of the one vector per token that multi-head latent attention keeps. 0: it is not used."""
    rank = language.number("kv_lora_rank", default=0)
    if not rank or language.model_type in _NOT_LATENT:
        return 0
    return language.believable("values of a latent vector", rank + language.number("qk_rope_head_dim"))


def _feed_forward_length(language: ConfigKeys, hidden: int) -> int:
    usual = min(4 * hidden, 2**31 - 1)
    if nested := language.section("ffn_config"):
        return nested.number("ffn_hidden_size", default=usual)
    return language.number(
        "intermediate_size",
        "ffn_hidden_size",
        "ffn_dim",
        "n_inner",
        "shared_intermediate_size",
        "moe_intermediate_size",
        default=usual,
    )


def _experts(language: ConfigKeys) -> int:
    nested = language.section("ffn_config")
    count = (nested or language).number(
        "num_experts", "moe_num_experts", "n_routed_experts", "num_local_experts", default=0
    )
    per_block = [block.number("n_routed_experts", default=0) for block in language.sections("block_configs")]
    count = max(count, *per_block, 0)
    return count if count > 1 else 0


def _experts_used(language: ConfigKeys, experts: int) -> int:
    """How many each token uses: all, where nothing is said."""
    used = (language.section("ffn_config") or language).number(
        "num_experts_per_tok",
        "num_experts_per_token",
        "top_k_experts",
        "moe_topk",
        "moe_top_k",
        "moe_k",
        "experts_per_token",
        default=experts,
    )
    return min(used, experts)


def _expert_feed_forward_length(language: ConfigKeys) -> int:
    return (language.section("ffn_config") or language).number(
        "moe_intermediate_size",
        "expert_ffn_hidden_size",
        "moe_ffn_hidden_size",
        "intermediate_size",
        "ffn_hidden_size",
        default=0,
    )


def _vision_heads(config: ConfigKeys) -> int:
    for keys in (config, config.section("thinker_config")):
        for name in _VISION_SECTIONS:
            if vision := keys and keys.section(name):
                return vision.number(*_VISION_HEAD_KEYS, default=VISION_HEADS.get(vision.model_type, 0))
    return 0


def _dtype(config: ConfigKeys, weights: WeightSums) -> str:
    """What config.json says, else what the most bytes are; vLLM takes a model without either for float32."""
    for keys in (config, config.language(), config.section("vision_config")):
        for name in ("dtype", "torch_dtype"):
            if keys and (dtype := keys.text(name)):
                return dtype.removeprefix("torch.")
    sizes = {_DTYPES[name]: size for name, size in weights.bytes_by_dtype.items() if name in _DTYPES}
    return max(sizes, key=sizes.__getitem__, default="float32")
