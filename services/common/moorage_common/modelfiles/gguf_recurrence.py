"""The recurrent blocks of a GGUF model, and the state that each carries from token to token."""

from dataclasses import dataclass

from moorage_common.modelfiles.architectures import RECURRENT, Recurrence, Recurrent, RecurrentRule
from moorage_common.modelfiles.gguf_keys import ModelKeys

_FLOAT_BYTES = 4
_MAX_STATE_BYTES = 1 << 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Recurrences:
    """The recurrent blocks of one model."""

    blocks: frozenset[int] = frozenset()
    without_attention: frozenset[int] = frozenset()
    """Those of them that keep no keys and values."""
    state_bytes: int = 0
    """What one block keeps of one conversation; llama.cpp keeps it as 32-bit floats, whatever the weights are."""
    inner_length: int = 0
    """Width that a block computes in."""
    state_length: int = 0
    """State per channel; of a delta rule, the length of a key."""
    group_count: int = 0
    head_count: int = 0
    kernel_length: int = 0
    """Tokens that its convolution sees. 0: it has none."""


def recurrences_of(keys: ModelKeys) -> Recurrences:
    """Reads what is recurrent in a model."""
    rule = RECURRENT.get(keys.architecture)
    if rule is None:
        return Recurrences()
    inner, state = (
        keys.model_number("ssm.inner_size", default=0),
        keys.model_number("ssm.state_size", default=0),
    )
    groups = keys.model_number("ssm.group_count", default=0)
    kernel = keys.model_number("ssm.conv_kernel", default=0)
    heads = keys.model_number("ssm.time_step_rank", default=0)
    hidden = keys.model_number("embedding_length", at_least=1)
    attention_heads = keys.per_block("attention.head_count", default=(0,) * keys.block_count)[0]
    match rule.recurrence:
        case Recurrence.RWKV6 | Recurrence.RWKV7:
            inner, state = hidden, keys.model_number("wkv.head_size", at_least=1)
            heads = hidden // state
            floats = hidden * (keys.model_number("token_shift_count", default=2) + state)
        case Recurrence.SHORT_CONVOLUTION:
            inner, kernel = hidden, keys.model_number("shortconv.l_cache", at_least=1)
            floats = hidden * (kernel - 1)
        case Recurrence.KIMI_DELTA:
            state, heads = keys.model_number("kda.head_dim", at_least=1), attention_heads
            inner = heads * state
            floats = inner * state + 3 * (kernel - 1 if kernel else 3) * inner
        case Recurrence.LIGHTNING:
            state = keys.model_number("attention.key_length", default=hidden // max(1, attention_heads))
            inner, heads = attention_heads * state, attention_heads
            floats = inner * state
        case _:
            floats = max(0, kernel - 1) * (inner + 2 * groups * state) + state * inner
    blocks = _blocks(keys, rule)
    return Recurrences(
        blocks=blocks,
        without_attention=frozenset() if rule.blocks is Recurrent.BESIDE_ATTENTION else blocks,
        state_bytes=keys.believable("state per block", _FLOAT_BYTES * floats, limit=_MAX_STATE_BYTES),
        inner_length=keys.believable("inner width", inner),
        state_length=state,
        group_count=groups,
        head_count=heads,
        kernel_length=kernel,
    )


def _blocks(keys: ModelKeys, rule: RecurrentRule) -> frozenset[int]:
    every = range(keys.block_count - keys.nextn_block_count)
    heads_kv = keys.per_block("attention.head_count_kv", default=(0,) * keys.block_count)
    match rule.blocks:
        case Recurrent.WITHOUT_KEYS:
            return frozenset(block for block in every if not heads_kv[block])
        case Recurrent.ALONE:
            widths = keys.feed_forward_lengths()
            return frozenset(block for block in every if not heads_kv[block] and not widths[block])
        case Recurrent.LISTED:
            listed = keys.flags("attention.recurrent_layers")
            if listed is not None:
                return frozenset(block for block in every if block < len(listed) and listed[block])
            interval = keys.model_number("full_attention_interval", default=rule.interval, at_least=1)
            return frozenset(block for block in every if (block + 1) % interval)
        case _:
            return frozenset(every)
