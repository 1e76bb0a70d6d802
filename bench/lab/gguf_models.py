"""Models of many architectures, in the sizes that one asks for."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from lab.gguf_files import GgufModel, Tensor, Value

_NORMED_QUERIES = frozenset({"qwen3", "qwen3moe", "gemma3", "gemma4", "qwen3next", "qwen35"})
_NORMS_BEHIND = frozenset({"gemma2", "gemma3", "gemma4"})
_DELTA_NETS = frozenset({"qwen3next", "qwen35"})
_ONLY_MAMBA = frozenset({"mamba", "mamba2"})
_STATE_GROUPS = frozenset({"mamba2", "falcon-h1", "granitehybrid", "nemotron_h", "qwen3next", "qwen35"})


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What a model is like. What its architecture has no use for is left out."""

    architecture: str = "llama"
    hidden: int = 512
    blocks: int = 4
    heads: int = 8
    heads_kv: int = 4
    head_length: int = 64
    feed_forward: int = 1536
    vocabulary: int = 8000
    quantization: str = "F16"
    tied: bool = False
    experts: int = 0
    experts_used: int = 0
    expert_width: int = 0
    window: int = 0
    own_embedding: int = 0
    """Values of the embeddings that each block has of its own."""
    latent: int = 512
    """Values of a compressed key, without those that turn."""
    inner: int = 1024
    """Width of recurrent blocks."""
    state: int = 64
    groups: int = 1
    attention_every: int = 3
    """One block of so many attends, where the others are recurrent."""


def model(shape: Shape) -> GgufModel:
    """Returns the model of a shape."""
    return GgufModel(
        architecture=shape.architecture,
        metadata=_metadata(shape),
        tensors=tuple(_tensors(shape)),
        vocabulary=shape.vocabulary,
    )


def _metadata(shape: Shape) -> dict[str, Value]:
    attends = [_attends(shape, block) for block in range(shape.blocks)]
    values: dict[str, Value] = {
        "context_length": 32768,
        "embedding_length": shape.hidden,
        "block_count": shape.blocks,
        "feed_forward_length": 0 if shape.architecture in _ONLY_MAMBA else shape.feed_forward,
        "attention.layer_norm_rms_epsilon": 1e-5,
    }
    if any(attends):
        values |= {
            "attention.head_count": shape.heads,
            "attention.head_count_kv": (
                shape.heads_kv if all(attends) else [shape.heads_kv * attending for attending in attends]
            ),
            "attention.key_length": shape.head_length,
            "attention.value_length": shape.head_length,
        }
    if shape.experts:
        values |= {"expert_count": shape.experts, "expert_used_count": shape.experts_used}
    if shape.expert_width:
        values["expert_feed_forward_length"] = shape.expert_width
    if shape.window:
        values["attention.sliding_window"] = shape.window
    return values | _OF_ARCHITECTURE.get(shape.architecture, lambda _: {})(shape)


def _mamba(shape: Shape) -> dict[str, Value]:
    values: dict[str, Value] = {
        "ssm.conv_kernel": 4,
        "ssm.inner_size": shape.inner,
        "ssm.state_size": shape.state,
        "ssm.time_step_rank": _ranks(shape),
    }
    if shape.architecture in _STATE_GROUPS:
        values["ssm.group_count"] = shape.groups
    return values


def _ranks(shape: Shape) -> int:
    """Heads of a recurrent block; in the first Mamba, which has none, the width of its time step."""
    if shape.architecture in _DELTA_NETS:
        return shape.inner // shape.state
    return shape.inner // shape.head_length if shape.architecture in _STATE_GROUPS else shape.hidden // 8


_TURNED, _STRAIGHT = 64, 128
"""Values of a head's key that turn with their position, and that do not, where keys are compressed."""


def _latent(shape: Shape) -> dict[str, Value]:
    return {
        "attention.head_count_kv": 1,
        "attention.key_length": shape.latent + _TURNED,
        "attention.value_length": shape.latent,
        "attention.q_lora_rank": 256,
        "attention.kv_lora_rank": shape.latent,
        "attention.key_length_mla": _STRAIGHT + _TURNED,
        "attention.value_length_mla": _STRAIGHT,
        "rope.dimension_count": _TURNED,
        "leading_dense_block_count": 1,
        "expert_shared_count": 1,
        "expert_weights_scale": 1.0,
    }


_OF_ARCHITECTURE: Mapping[str, Callable[[Shape], dict[str, Value]]] = {
    "llama": lambda shape: {"rope.dimension_count": shape.head_length},
    "gemma2": lambda _: {"attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0},
    "deepseek2": _latent,
    "mamba": _mamba,
    "mamba2": _mamba,
    "jamba": _mamba,
    "falcon-h1": _mamba,
    "granitehybrid": _mamba,
    "gemma4": lambda shape: {
        "attention.key_length": 2 * shape.head_length,
        "attention.value_length": 2 * shape.head_length,
        "attention.key_length_swa": shape.head_length,
        "attention.value_length_swa": shape.head_length,
        "attention.sliding_window_pattern": [_slides(block) for block in range(shape.blocks)],
        "embedding_length_per_layer_input": shape.own_embedding,
        "rope.dimension_count": 2 * shape.head_length,
        "rope.dimension_count_swa": shape.head_length,
    },
    "qwen35": lambda shape: (
        _mamba(shape) | {"rope.dimension_count": 32, "rope.dimension_sections": [11, 11, 10, 0]}
    ),
    "qwen3next": lambda shape: (
        _mamba(shape) | {"rope.dimension_count": 32, "expert_shared_feed_forward_length": shape.expert_width}
    ),
    "lfm2": lambda _: {"shortconv.l_cache": 3},
}


def _slides(block: int) -> bool:
    """Whether a block of gemma4 has a window, and then shorter heads."""
    return block % 4 != 3


def _attends(shape: Shape, block: int) -> bool:
    match shape.architecture:
        case _ if shape.architecture in _ONLY_MAMBA:
            return False
        case "jamba" | "granitehybrid" | "lfm2":
            return block % shape.attention_every == shape.attention_every - 1
        case _:
            return True


def _tensors(shape: Shape) -> Iterator[Tensor]:
    yield Tensor("token_embd.weight", (shape.hidden, shape.vocabulary), shape.quantization)
    yield Tensor(
        "token_embd_norm.weight" if shape.architecture == "lfm2" else "output_norm.weight", (shape.hidden,)
    )
    if not shape.tied:
        yield Tensor("output.weight", (shape.hidden, shape.vocabulary), shape.quantization)
    if shape.architecture == "gemma4":
        yield Tensor("rope_freqs.weight", (shape.head_length,))
    if shape.own_embedding:
        width = shape.own_embedding * shape.blocks
        yield Tensor("per_layer_token_embd.weight", (width, shape.vocabulary), shape.quantization)
        yield Tensor("per_layer_model_proj.weight", (shape.hidden, width), shape.quantization)
        yield Tensor("per_layer_proj_norm.weight", (shape.own_embedding,))
    for number in range(shape.blocks):
        block = _Block(shape, number)
        yield from block.tensors()


class _Block:
    """The tensors of one block."""

    def __init__(self, shape: Shape, number: int) -> None:
        self._shape = shape
        self._number = number

    def tensors(self) -> Iterator[Tensor]:
        shape = self._shape
        yield self._vector("attn_norm.weight", shape.hidden)
        yield from self._mixing()
        if shape.architecture in _ONLY_MAMBA:
            return
        if shape.architecture in _DELTA_NETS:
            yield self._vector("post_attention_norm.weight", shape.hidden)
        else:
            yield self._vector(
                "ffn_norm" if shape.architecture == "falcon-h1" else "ffn_norm.weight", shape.hidden
            )
        if shape.architecture in _NORMS_BEHIND:
            yield self._vector("post_attention_norm.weight", shape.hidden)
            yield self._vector("post_ffw_norm.weight", shape.hidden)
        yield from self._experts() if self._has_experts() else self._feed_forward("", shape.feed_forward)
        if shape.own_embedding:
            yield self._matrix("inp_gate.weight", shape.hidden, shape.own_embedding)
            yield self._matrix("proj.weight", shape.own_embedding, shape.hidden)
            yield self._vector("post_norm.weight", shape.hidden)

    def _mixing(self) -> Iterator[Tensor]:
        match self._shape.architecture:
            case "deepseek2":
                yield from self._latent_attention()
            case "falcon-h1":
                yield from self._attention()
                yield from self._mamba2()
            case "qwen3next" | "qwen35":
                yield from self._attention() if self._number % 4 == 3 else self._delta_net()
            case _ if _attends(self._shape, self._number):
                yield from self._attention()
            case "lfm2":
                yield from self._short_convolution()
            case "mamba" | "jamba":
                yield from self._mamba()
            case _:
                yield from self._mamba2()

    def _attention(self) -> Iterator[Tensor]:
        shape, length = self._shape, self._shape.head_length
        if shape.architecture == "gemma4" and not _slides(self._number):
            length *= 2
        queries, keys = shape.heads * length, shape.heads_kv * length
        # Beside each query there is a gate.
        asked = 2 * queries if shape.architecture in _DELTA_NETS else queries
        yield self._matrix("attn_q.weight", shape.hidden, asked)
        yield self._matrix("attn_k.weight", shape.hidden, keys)
        yield self._matrix("attn_v.weight", shape.hidden, keys)
        yield self._matrix("attn_output.weight", queries, shape.hidden)
        if shape.architecture in _NORMED_QUERIES or shape.architecture == "lfm2":
            yield self._vector("attn_q_norm.weight", length)
            yield self._vector("attn_k_norm.weight", length)
        if shape.architecture == "qwen2":
            yield self._vector("attn_q.bias", queries)
            yield self._vector("attn_k.bias", keys)
            yield self._vector("attn_v.bias", keys)

    def _latent_attention(self) -> Iterator[Tensor]:
        shape, turned = self._shape, _TURNED
        yield self._vector("attn_q_a_norm.weight", 256)
        yield self._vector("attn_kv_a_norm.weight", shape.latent)
        yield self._matrix("attn_q_a.weight", shape.hidden, 256)
        yield self._matrix("attn_q_b.weight", 256, shape.heads * (_STRAIGHT + turned))
        yield self._matrix("attn_kv_a_mqa.weight", shape.hidden, shape.latent + turned)
        yield self._matrix("attn_k_b.weight", _STRAIGHT, shape.latent, shape.heads)
        yield self._matrix("attn_v_b.weight", shape.latent, _STRAIGHT, shape.heads)
        yield self._matrix("attn_output.weight", shape.heads * _STRAIGHT, shape.hidden)

    def _mamba(self) -> Iterator[Tensor]:
        shape, rank = self._shape, _ranks(self._shape)
        yield self._matrix("ssm_in.weight", shape.hidden, 2 * shape.inner)
        yield self._vector("ssm_conv1d.weight", 4, shape.inner)
        yield self._vector("ssm_conv1d.bias", shape.inner)
        yield self._matrix("ssm_x.weight", shape.inner, rank + 2 * shape.state)
        yield self._matrix("ssm_dt.weight", rank, shape.inner)
        yield self._vector("ssm_dt.bias", shape.inner)
        yield self._vector("ssm_a", shape.state, shape.inner)
        yield self._vector("ssm_d", shape.inner)
        yield self._matrix("ssm_out.weight", shape.inner, shape.hidden)
        if shape.architecture == "jamba":
            yield self._vector("ssm_dt_norm.weight", rank)
            yield self._vector("ssm_b_norm.weight", shape.state)
            yield self._vector("ssm_c_norm.weight", shape.state)

    def _mamba2(self) -> Iterator[Tensor]:
        shape, heads = self._shape, _ranks(self._shape)
        convolved = shape.inner + 2 * shape.groups * shape.state
        yield self._matrix("ssm_in.weight", shape.hidden, shape.inner + convolved + heads)
        yield self._vector("ssm_conv1d.weight", 4, convolved)
        yield self._vector("ssm_conv1d.bias", convolved)
        yield self._vector("ssm_dt.bias", heads)
        yield self._vector("ssm_a", 1, heads)
        yield self._vector("ssm_d", 1, heads)
        yield self._matrix("ssm_out.weight", shape.inner, shape.hidden)
        yield self._vector("ssm_norm.weight", shape.inner // shape.groups, shape.groups)

    def _delta_net(self) -> Iterator[Tensor]:
        shape, heads = self._shape, _ranks(self._shape)
        convolved = shape.inner + 2 * shape.groups * shape.state
        yield self._matrix("attn_qkv.weight", shape.hidden, convolved)
        yield self._matrix("attn_gate.weight", shape.hidden, shape.inner)
        yield self._vector("ssm_conv1d.weight", 4, convolved)
        yield self._vector("ssm_dt.bias", heads)
        yield self._vector("ssm_a", heads)
        if shape.architecture == "qwen35":
            yield self._matrix("ssm_beta.weight", shape.hidden, heads)
            yield self._matrix("ssm_alpha.weight", shape.hidden, heads)
        else:
            yield self._matrix("ssm_ba.weight", shape.hidden, 2 * heads)
        yield self._vector("ssm_norm.weight", shape.inner // heads)
        yield self._matrix("ssm_out.weight", shape.inner, shape.hidden)

    def _short_convolution(self) -> Iterator[Tensor]:
        hidden = self._shape.hidden
        yield self._vector("shortconv.conv.weight", 3, hidden)
        yield self._matrix("shortconv.in_proj.weight", hidden, 3 * hidden)
        yield self._matrix("shortconv.out_proj.weight", hidden, hidden)

    def _has_experts(self) -> bool:
        match self._shape.architecture:
            case "deepseek2":
                return self._number > 0
            case "jamba":
                return self._number % 2 == 1
            case _:
                return self._shape.experts > 0

    def _experts(self) -> Iterator[Tensor]:
        shape = self._shape
        # Where they have no width of their own, it is that of the other blocks.
        width = shape.expert_width or shape.feed_forward
        yield self._vector("ffn_gate_inp.weight", shape.hidden, shape.experts)
        yield self._matrix("ffn_gate_exps.weight", shape.hidden, width, shape.experts)
        yield self._matrix("ffn_up_exps.weight", shape.hidden, width, shape.experts)
        yield self._matrix("ffn_down_exps.weight", width, shape.hidden, shape.experts)
        if shape.architecture in {"deepseek2", "qwen3next"}:
            yield from self._feed_forward("_shexp", width)
        if shape.architecture == "qwen3next":
            yield self._vector("ffn_gate_inp_shexp.weight", shape.hidden)

    def _feed_forward(self, suffix: str, width: int) -> Iterator[Tensor]:
        hidden = self._shape.hidden
        yield self._matrix(f"ffn_gate{suffix}.weight", hidden, width)
        yield self._matrix(f"ffn_up{suffix}.weight", hidden, width)
        yield self._matrix(f"ffn_down{suffix}.weight", width, hidden)

    def _matrix(self, name: str, *dimensions: int) -> Tensor:
        return Tensor(f"blk.{self._number}.{name}", dimensions, self._shape.quantization)

    def _vector(self, name: str, *dimensions: int) -> Tensor:
        return Tensor(f"blk.{self._number}.{name}", dimensions)
