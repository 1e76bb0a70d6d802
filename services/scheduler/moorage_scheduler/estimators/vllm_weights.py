"""Weights of a model in vLLM: what one GPU holds of them."""

from dataclasses import dataclass
from fractions import Fraction

from moorage_common.modelfiles.safetensors_facts import SafetensorsFacts
from moorage_scheduler.core.parallel import ParallelShape
from moorage_scheduler.core.request import VllmOptions
from moorage_scheduler.estimators.vllm_dtypes import compute_width, conversion, stored_width
from moorage_scheduler.estimators.vllm_stages import Stage

HEAD_ROOM = Fraction(101, 100)
"""What loaded weights take for every byte of tensors.

vLLM's log ("Model loading took") against the bytes of the tensors: 14.99 GiB for 14.96 (Llama-3.1-8B), 61.03
for 61.02 and on two GPUs 30.59 for 30.51 each (Qwen3-32B), 14.25 for 14.22 on each of four (Qwen3-30B-A3B), 30.71
for 30.51 (QwQ-32B): up to 0.7 % more, which is PyTorch's rounding of each tensor to 2 MiB, norms that every rank
holds whole, and rotary tables.
"""
_BITS = 8
_PADDED = frozenset({"mxfp4", "gpt_oss_mxfp4"})
_HIDDEN_STEP, _EXPERT_STEP = 256, 128
"""To what the experts of these quantisations are padded, model's width and a rank's part of an expert's.

`mxfp4_round_up_hidden_size_and_intermediate_size` in fused_moe/oracle/mxfp4.py, for Marlin and TensorRT-LLM: with it
gpt-oss-20b comes to 13.8 GiB; vLLM 0.11 logged 13.47.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """Bytes of a model's weights as they are loaded, by how vLLM deals them out."""

    blocks: int
    """Of all blocks, but for their experts; tensor ranks share each out."""
    experts: int
    """Of all blocks' experts; tensor ranks share each out."""
    expert_share: Fraction
    """Blocks for every block that has experts."""
    expert_hidden_size: int
    expert_width: int
    """Of an expert's feed-forward layer. 0: experts are not padded."""
    whole: int
    """Of all blocks; each tensor rank holds these whole."""
    embedding: int
    """On the first stage; tensor ranks share it out."""
    head: int
    """On the last stage; tensor ranks share it out. It is the embedding itself if `tied`."""
    tied: bool
    tower: int
    """Vision and audio towers: on every stage; tensor ranks share them out."""
    keys_and_values: int
    """Part of `blocks`: what makes keys and values, a head of which no two ranks share."""
    head_count_kv: int
    absorbed: int
    """Second copies of matrices that latent attention keeps multiplied out; tensor ranks share them out."""

    def on_gpu(self, stage: Stage, shape: ParallelShape) -> int:
        """Returns what one GPU of a stage holds, with head room."""
        # Blocks without experts may all be on other stages.
        experts = stage.part_of(int(self._experts(shape.tensor) * min(self.expert_share, 1 / stage.share)))
        cut = stage.part_of(self.blocks + self.absorbed) + experts + self.tower + self._ends(stage)
        held = -(-cut // shape.tensor) + stage.part_of(self.whole + self._repeated(shape.tensor))
        return -(-held * HEAD_ROOM.numerator // HEAD_ROOM.denominator)

    def _experts(self, tensor: int) -> int:
        if not self.expert_width:
            return self.experts
        hidden = -(-self.expert_hidden_size // _HIDDEN_STEP) * _HIDDEN_STEP
        width = -(-self.expert_width // (tensor * _EXPERT_STEP)) * tensor * _EXPERT_STEP
        return self.experts * hidden * width // (self.expert_hidden_size * self.expert_width)

    def _ends(self, stage: Stage) -> int:
        head = 0 if self.tied and stage.first else self.head
        return (self.embedding if stage.first else 0) + (head if stage.last else 0)

    def _repeated(self, tensor: int) -> int:
        # With fewer heads than ranks, several ranks hold the same head (QKVParallelLinear in
        # vllm/model_executor/layers/linear.py, vLLM 0.32.0).
        if tensor <= self.head_count_kv or not self.head_count_kv:
            return 0
        return self.keys_and_values // self.head_count_kv - self.keys_and_values // tensor


def weights_of(facts: SafetensorsFacts, options: VllmOptions) -> Weights:
    """Returns a model's weights as vLLM loads them.

    Quantised weights stay as they are stored; others are converted to what is computed in. The embedding and the
    head are cut over tensor ranks, the embedding on the first stage and the head on the last; one matrix that is
    both is held on both (models/llama.py). Towers are on every stage and cut over tensor ranks, which is
    vLLM's default (`mm_encoder_tp_mode` "weights"), and left out of a text-only model
    (`--language-model-only`). Routers of experts and the down-projections of latent attention are whole on every
    rank (`GateLinear`, `ReplicatedLinear` in models/deepseek_v2.py). All in vLLM 0.32.0.
    """
    factor = Fraction(1) if facts.quantization else conversion(facts.tensor_bytes_by_dtype, options.dtype)
    ends = _ends(facts)
    rest = facts.total_tensor_bytes - facts.tower_bytes - facts.embedding_bytes - facts.expert_bytes
    blocks = int(rest * factor)
    whole = min(_whole(facts, options), blocks)
    return Weights(
        blocks=blocks - whole,
        experts=int(facts.expert_bytes * factor),
        expert_share=Fraction(facts.block_count or 1, facts.expert_block_count or facts.block_count or 1),
        expert_hidden_size=facts.hidden_size,
        expert_width=facts.expert_feed_forward_length if facts.quantization in _PADDED else 0,
        whole=whole,
        embedding=int(ends.embedding * factor),
        head=int(ends.head * factor),
        tied=ends.tied,
        tower=0 if options.text_only else int(facts.tower_bytes * factor),
        keys_and_values=_keys_and_values(facts, options),
        head_count_kv=facts.head_count_kv,
        absorbed=_absorbed(facts, options),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ends:
    embedding: int
    head: int
    tied: bool


def _ends(facts: SafetensorsFacts) -> _Ends:
    # Files with one matrix hold about half of what files with two hold; quantised ones are smaller still.
    matrix = facts.vocabulary_size * facts.hidden_size * stored_width(facts.tensor_bytes_by_dtype)
    if facts.embedding_bytes * 2 <= matrix * 3:
        return _Ends(embedding=facts.embedding_bytes, head=facts.embedding_bytes, tied=True)
    half = facts.embedding_bytes // 2
    return _Ends(embedding=facts.embedding_bytes - half, head=half, tied=False)


def _weight_bytes(facts: SafetensorsFacts, options: VllmOptions, values: int) -> int:
    bits = facts.quantization_bits if facts.quantization else 0
    return values * (bits or compute_width(options.dtype) * _BITS) // _BITS


def _whole(facts: SafetensorsFacts, options: VllmOptions) -> int:
    routers = facts.expert_count * facts.hidden_size * facts.block_count * compute_width(options.dtype)
    down = facts.latent_values_per_token * facts.hidden_size * facts.block_count
    return routers + _weight_bytes(facts, options, down)


def _keys_and_values(facts: SafetensorsFacts, options: VllmOptions) -> int:
    if facts.latent_values_per_token:
        return 0
    values = 2 * facts.head_count_kv * facts.head_size * facts.hidden_size * facts.attention_block_count
    return _weight_bytes(facts, options, values)


def _absorbed(facts: SafetensorsFacts, options: VllmOptions) -> int:
    # W_UK_T and W_UV in vllm/model_executor/layers/attention/mla_attention.py: dequantised, beside kv_b_proj.
    heads = 2 * facts.head_count * facts.head_size * facts.latent_values_per_token
    return heads * facts.block_count * compute_width(options.dtype)
