"""What the layers of a model keep of the context: keys and values, those of the last tokens, a recurrent state."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Flag, auto

from moorage_common.modelfiles.config_keys import ConfigKeys


class Kept(Flag):
    """What a layer keeps of the context."""

    KEYS = auto()
    """Keys and values."""
    WINDOW = auto()
    """Of these only the last tokens'."""
    STATE = auto()
    """A recurrent state."""


_NOTHING, _STATE = Kept(0), Kept.STATE
_FULL, _SLIDING, _HYBRID = Kept.KEYS, Kept.KEYS | Kept.WINDOW, Kept.KEYS | Kept.STATE


@dataclass(frozen=True, slots=True, kw_only=True)
class Layers:
    """The layers of one model, counted."""

    attention: int = 0
    """Those that keep keys and values."""
    sliding: int = 0
    """Those of them that keep only the last tokens'."""
    window: int = 0
    """How many tokens these keep. 0: there are none."""
    recurrent: int = 0
    """Those that keep a recurrent state, also beside keys and values."""


ENCODERS: frozenset[str] = frozenset({
    "bert", "camembert", "distilbert", "electra", "eurobert", "gte", "modernbert", "mpnet", "neobert", "new",
    "nomic_bert", "roberta", "xlm-roberta", "xlm-roberta-xl",
})  # fmt: skip
"""Model types that see a text at once and keep nothing of it."""
RECURRENT: frozenset[str] = frozenset({"falcon_mamba", "mamba", "mamba2", "rwkv", "rwkv5", "rwkv6", "rwkv7"})
"""Model types without any attention."""

_WORDS: Mapping[object, Kept] = {
    **dict.fromkeys(("sliding_attention", "chunked_attention", "local_attention", "local"), _SLIDING),
    **dict.fromkeys(("linear_attention", "mamba", "mamba2", "conv", "recurrent"), _STATE),
    **dict.fromkeys(("moe", "mlp", "ffn"), _NOTHING),
    "hybrid": _HYBRID,
    "hybrid_sliding": _SLIDING | _STATE,
}
"""Layers by what they are called; any other name is of one that keeps all keys and values."""
_LISTS: Mapping[str, Mapping[object, Kept]] = {
    "hybrid_override_pattern": {"M": _STATE, "-": _NOTHING, "E": _NOTHING},
    "layer_types": _WORDS,
    "layers_block_type": _WORDS,
    "attn_type_list": {0: _STATE},
    "hybrid_layer_pattern": {1: _SLIDING},
}
"""Keys that list the layers one by one, with the entries that stand for one that does not keep all keys and values."""
_FULL_INDICES = {"full_attn_idxs": _FULL, "attn_layer_indices": _FULL, "hybrid_layer_ids": _HYBRID}
"""Keys that list which layers, from 0, are attention among recurrent ones."""

_SLIDING_PERIODS = {
    "cohere2": 4,
    "exaone4": 4,
    "gemma2": 2,
    "gemma3": 6,
    "gemma3_text": 6,
    "gemma3n_text": 5,
    "gemma4_text": 6,
    "gpt_oss": 2,
    "olmo3": 4,
}
"""Model types of which the last layer of each so many keeps everything, and the others slide."""
_RECURRENT_PERIODS = {"qwen3_5_moe_text": 4, "qwen3_5_text": 4, "qwen3_next": 4}
"""The same, where the others are recurrent."""
_BOTH = frozenset({"falcon_h1"})
"""Model types of which every layer keeps a state beside keys and values."""
_WINDOW_WHEN_TOLD = ("qwen2", "qwen3", "smollm3")
"""How model types begin that have a window only if use_sliding_window says so."""


def read_layers(keys: ConfigKeys, block_count: int) -> Layers:
    """Returns what a language model's layers keep, as vLLM has it."""
    if keys.model_type in ENCODERS:
        return Layers()
    if keys.model_type in RECURRENT:
        return Layers(recurrent=block_count)
    kinds = next(found for rule in _RULES if (found := rule(keys, block_count)))
    if len(kinds) < block_count:
        raise keys.fail(f"it lists {len(kinds)} layers of {block_count}")
    # What comes after the last layer is for predicting several tokens; what shares another's keys keeps none.
    kinds = kinds[: block_count - min(block_count, keys.number("num_kv_shared_layers", default=0))]
    window = _window(keys)
    sliding = sum(Kept.WINDOW in kind for kind in kinds) if window else 0
    return Layers(
        attention=sum(Kept.KEYS in kind for kind in kinds),
        sliding=sliding,
        window=window if sliding else 0,
        recurrent=sum(Kept.STATE in kind for kind in kinds),
    )


def _window(keys: ConfigKeys) -> int:
    chunk = keys.number("attention_chunk_size", default=0) if keys.model_type.startswith("llama4") else 0
    when_told = keys.model_type.startswith(_WINDOW_WHEN_TOLD)
    if not keys.flag("use_sliding_window", default=not when_told):
        return chunk
    return chunk or keys.number("sliding_window", "sliding_window_size", default=0)


def _listed(keys: ConfigKeys, _: int) -> list[Kept]:
    for name, kinds in _LISTS.items():
        if entries := keys.list(name):
            if not all(isinstance(entry, str | int) for entry in entries):
                raise keys.fail(f"{name} lists something else than layers")
            return [kinds.get(entry, _FULL) for entry in entries]
    return []


def _blocks(keys: ConfigKeys, _: int) -> list[Kept]:
    """Every layer has a section of its own."""
    kinds = []
    for block in keys.sections("block_configs"):
        attention = block.section("attention")
        idle = attention is not None and (attention.flag("no_op") or attention.flag("replace_with_linear"))
        kinds.append(_NOTHING if idle else _WORDS.get(block.text("block_type"), _FULL))
    return kinds


def _full_by_index(keys: ConfigKeys, block_count: int) -> list[Kept]:
    chosen: dict[int, Kept] = {}
    for name, kind in _FULL_INDICES.items():
        chosen = chosen or dict.fromkeys(keys.numbers(name), kind)
    if linear := keys.section("linear_attn_config"):
        # Counted from 1.
        chosen = {index - 1: _FULL for index in linear.numbers("full_attn_layers")}
    return [chosen.get(layer, _STATE) for layer in range(block_count)] if chosen else []


def _chunked(keys: ConfigKeys, block_count: int) -> list[Kept]:
    """Llama 4: layers with positions look at chunks; every fourth has none and looks at everything."""
    if not keys.model_type.startswith("llama4"):
        return []
    positions = keys.numbers("no_rope_layers")
    if positions:
        return [_SLIDING if position else _FULL for position in positions]
    return _every(keys.number("no_rope_layer_interval", default=4), _SLIDING, block_count)


def _periodic(keys: ConfigKeys, block_count: int) -> list[Kept]:
    if keys.has("attn_layer_period"):
        period = max(1, keys.number("attn_layer_period"))
        offset = keys.number("attn_layer_offset", default=0)
        return [_FULL if layer % period == offset else _STATE for layer in range(block_count)]
    default = _RECURRENT_PERIODS.get(keys.model_type, 0)
    if period := keys.number("full_attention_interval", default=default):
        return _every(period, _STATE, block_count)
    return []


def _sliding_pattern(keys: ConfigKeys, block_count: int) -> list[Kept]:
    if word := keys.text("sliding_window_pattern"):
        # Such as LLLG: local, local, local, global.
        return [_SLIDING if word[layer % len(word)] == "L" else _FULL for layer in range(block_count)]
    default = _SLIDING_PERIODS.get(keys.model_type, 0)
    period = keys.number("sliding_window_pattern", "_sliding_window_pattern", default=default)
    return _every(period, _SLIDING, block_count) if period else []


def _all_alike(keys: ConfigKeys, block_count: int) -> list[Kept]:
    if keys.model_type in _BOTH:
        return [_HYBRID] * block_count
    full = keys.number("max_window_layers", default=28) if keys.flag("use_sliding_window") else 0
    return [_FULL if layer < full else _SLIDING for layer in range(block_count)]


def _every(period: int, others: Kept, block_count: int) -> list[Kept]:
    period = max(1, period)
    return [_FULL if (layer + 1) % period == 0 else others for layer in range(block_count)]


_RULES: Sequence[Callable[[ConfigKeys, int], list[Kept]]] = (
    _listed,
    _blocks,
    _full_by_index,
    _chunked,
    _periodic,
    _sliding_pattern,
    _all_alike,
)
"""The first that finds anything tells; the last always does."""
