"""What a model needs, given in bytes: used as given, nothing is computed from an architecture."""

from dataclasses import dataclass

from moorage_common.core.placement import ModelCategory


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerSizes:
    """The facts of one model in bytes. What is 0 or empty costs nothing."""

    block_weight_bytes: tuple[int, ...]
    """Weights of each block, from the first."""
    output_bytes: int = 0
    """Output norm and head."""
    token_embedding_bytes: int = 0
    block_kv_bytes: tuple[int, ...] = ()
    """Keys and values of each block for the whole context, from the first. Empty: by the token."""
    kv_bytes_per_token_per_block: int = 0
    """Where `block_kv_bytes` is empty."""
    gpu_compute_bytes: int = 0
    """Compute buffers on each GPU that is used."""
    ram_compute_bytes: int = 0
    """Compute buffers in RAM."""
    gpu_overhead_bytes: int | None = None
    """What the engine takes on each GPU besides. None: as usual."""
    ram_overhead_bytes: int | None = None
    """What the engine takes of RAM besides. None: as usual."""
    context_length: int = 0
    """Tokens that the model was made for."""
    lora_bytes: int = 0
    """Adapters, which lie beside the blocks that they change."""
    draft_bytes: int = 0
    """A draft model, which lies beside the output layer."""
    projector_bytes: int = 0
    """A multimodal projector, which lies beside the output layer."""
    active_weight_bytes: int = 0
    """Weights that are read for one token. 0: all of them."""
    category: ModelCategory = ModelCategory.LLM


@dataclass(frozen=True, slots=True, kw_only=True)
class VllmSizes:
    """The facts of one model in bytes. What is 0 or empty costs nothing."""

    block_weight_bytes: tuple[int, ...] = ()
    """Weights of each block, from the first. Empty: what `weight_bytes` leaves, alike in all blocks."""
    output_bytes: int = 0
    """Output norm and head."""
    token_embedding_bytes: int = 0
    weight_bytes: int = 0
    """All weights. 0: the sum of the parts above."""
    block_kv_bytes: tuple[int, ...] = ()
    """Keys and values of each block for the whole context, from the first."""
    kv_bytes_per_token_per_block: int = 0
    """Where `block_kv_bytes` is empty."""
    gpu_compute_bytes: int = 0
    """Compute buffers on each GPU."""
    ram_compute_bytes: int = 0
    """Compute buffers in each worker's RAM."""
    gpu_overhead_bytes: int | None = None
    """What the engine takes on each GPU besides. None: as usual."""
    ram_overhead_bytes: int | None = None
    """What the engine takes of each worker's RAM besides. None: as usual."""
    block_count: int = 0
    """Where `block_weight_bytes` is empty. 0: not known."""
    attention_head_count: int = 0
    """0: any tensor parallel size divides them."""
    kv_head_count: int = 0
    """0: every tensor rank keeps its part of keys and values, however many there are."""
    vision_head_count: int = 0
    vocabulary_size: int = 0
    quantization: str = ""
    context_length: int = 0
    """Tokens that the model was made for."""
    lora_bytes: int = 0
    """Adapters, which are dealt out like the weights of blocks."""
    draft_bytes: int = 0
    """A draft model, which the last stage holds."""
    projector_bytes: int = 0
    """Vision and audio towers, which every stage holds."""
    active_weight_bytes: int = 0
    """Weights that are read for one token. 0: all of them."""
    category: ModelCategory = ModelCategory.LLM
