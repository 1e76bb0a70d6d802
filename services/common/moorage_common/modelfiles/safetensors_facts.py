"""What the headers of a model in safetensors, and its config.json, say about it."""

from collections.abc import Mapping
from dataclasses import dataclass

from moorage_common.core.placement import ModelCategory


@dataclass(frozen=True, slots=True, kw_only=True)
class SafetensorsFacts:
    """The facts of one model, summed over its files."""

    architecture: str
    """As config.json names it, e.g. ``LlamaForCausalLM``."""
    model_type: str
    """As config.json names it, e.g. ``llama``."""
    parameter_count: int
    total_tensor_bytes: int
    tensor_bytes_by_dtype: Mapping[str, int]
    """By number format, e.g. ``BF16``."""
    tower_bytes: int
    """Bytes of the vision (and audio) towers with their projectors, part of the total."""
    expert_bytes: int
    """Bytes of the experts, part of the total."""
    embedding_bytes: int
    """Bytes of the token embedding and the output head, part of the total."""
    dtype: str
    """What the model was made in, e.g. ``bfloat16``."""
    quantization: str
    """Method, e.g. ``fp8``, ``awq``, ``gptq``, ``compressed-tensors``. Empty: none."""
    quantization_bits: int
    """Bits of a quantised weight. 0: not quantised."""
    block_count: int
    hidden_size: int
    feed_forward_length: int
    head_count: int
    head_count_kv: int
    head_size: int
    """Values in one head's vector."""
    vision_head_count: int
    """0: there is no vision tower."""
    vocabulary_size: int
    context_length: int
    """Tokens that the model was made for."""
    sliding_window: int
    """Tokens that a sliding-window block attends to. 0: no sliding window."""
    sliding_window_block_count: int
    attention_block_count: int
    """Blocks that keep keys and values."""
    latent_values_per_token: int
    """Values that a token keeps of multi-head latent attention, in each block. 0: not used."""
    expert_count: int
    """0: not a mixture of experts."""
    expert_used_count: int
    category: ModelCategory
    expert_feed_forward_length: int = 0
    """Width of one expert's feed-forward layer. 0: not a mixture of experts, or not told."""
    expert_block_count: int = 0
    """Blocks that have experts. 0: all, if any."""
    quantization_group_size: int = 0
    """Values along a row that share a quantisation scale, or along a side of a square that does. 0: whole rows do."""
    recurrent_block_count: int = 0
    """Blocks that keep a recurrent state, also beside keys and values. The rest keeps nothing."""
    recurrent_state_bytes: int = 0
    """Bytes that one recurrent block keeps of one request. 0: not told."""
