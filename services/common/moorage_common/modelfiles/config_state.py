"""How large the state is that a recurrent layer keeps of one request: as vLLM lays it out, from config.json."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from moorage_common.modelfiles.config_keys import ConfigKeys

_WIDTHS = {"float32": 4, "bfloat16": 2, "float16": 2}
_COMPUTED = 2
"""Bytes of a value as vLLM computes: it casts models of 32 bits down."""
_MAX_BYTES = 1 << 40
_AUTO = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class _State:
    """Values of one layer's state."""

    convolved: int
    """Inputs of the last tokens, which a convolution goes over."""
    recurrent: int = 0
    width: int = _COMPUTED
    """Bytes of one of the recurrent values."""

    @property
    def size_bytes(self) -> int:
        return self.convolved * _COMPUTED + self.recurrent * self.width


def recurrent_state_bytes(language: ConfigKeys) -> int:
    """Returns the bytes of one recurrent layer's state. 0: config.json does not tell."""
    size = next((state.size_bytes for rule in _RULES if (state := rule(language))), 0)
    return language.believable("bytes of a layer's state", size, limit=_MAX_BYTES)


def _delta_net(keys: ConfigKeys) -> _State | None:
    """Qwen3-Next and later."""
    if not keys.has("linear_num_value_heads"):
        return None
    heads, size = _number(keys, "linear_num_value_heads"), _number(keys, "linear_value_head_dim")
    key_heads, key_size = _number(keys, "linear_num_key_heads"), _number(keys, "linear_key_head_dim")
    kernel = _number(keys, "linear_conv_kernel_dim")
    return _State(
        convolved=(2 * key_heads * key_size + heads * size) * max(0, kernel - 1),
        recurrent=heads * size * key_size,
        width=_WIDTHS.get(keys.text("mamba_ssm_dtype"), _COMPUTED),
    )


def _kimi(keys: ConfigKeys) -> _State | None:
    linear = keys.section("linear_attn_config")
    if linear is None:
        return None
    heads, size = _number(linear, "num_heads"), _number(linear, "head_dim")
    kernel = _number(linear, "short_conv_kernel_size")
    return _State(
        convolved=3 * heads * size * max(0, kernel - 1),
        recurrent=heads * size * size,
        width=_WIDTHS["float32"],
    )


def _short_convolution(keys: ConfigKeys) -> _State | None:
    """LFM2: nothing but a convolution."""
    if not keys.has("conv_L_cache"):
        return None
    return _State(
        convolved=_number(keys, "conv_dim", "hidden_size") * max(0, _number(keys, "conv_L_cache") - 1)
    )


def _mamba2(keys: ConfigKeys) -> _State | None:
    own = ("num_heads",) if keys.model_type == "mamba2" else ()
    heads = _number(keys, "mamba_n_heads", "mamba_num_heads", "n_mamba_heads", *own)
    if not heads:
        return None
    size = _number(keys, "mamba_d_head", "mamba_head_dim", "mamba_headdim", "head_dim")
    inner = heads * size or _inner(keys)
    groups = _number(keys, "mamba_n_groups", "n_groups", "mamba_ngroups") or 1
    values = _number(keys, "mamba_d_state", "ssm_state_size", "state_size")
    kernel = _number(keys, "mamba_d_conv", "conv_kernel")
    default = "float32" if keys.model_type == "nemotron_h" else ""
    return _State(
        convolved=(inner + 2 * groups * values) * max(0, kernel - 1),
        recurrent=inner * values,
        width=_WIDTHS.get(keys.text("mamba_ssm_cache_dtype") or default, _COMPUTED),
    )


def _mamba(keys: ConfigKeys) -> _State | None:
    values = _number(keys, "mamba_d_state", "state_size")
    if not values:
        return None
    inner = _inner(keys) or _number(keys, "intermediate_size")
    kernel = _number(keys, "mamba_d_conv", "conv_kernel")
    return _State(convolved=inner * max(0, kernel - 1), recurrent=inner * values)


def _inner(keys: ConfigKeys) -> int:
    return int(keys.ratio("mamba_expand", default=0.0) * _number(keys, "hidden_size"))


def _number(keys: ConfigKeys, *names: str) -> int:
    """A number that need not be given, nor be one: some say "auto"."""
    return keys.number(*(name for name in names if keys.text(name) != _AUTO), default=0)


_RULES: Sequence[Callable[[ConfigKeys], _State | None]] = (
    _delta_net,
    _kimi,
    _short_convolution,
    _mamba2,
    _mamba,
)
