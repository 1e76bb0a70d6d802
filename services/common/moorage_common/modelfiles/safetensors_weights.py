"""Sums up the tensors of a model in safetensors by what they are, going by their names."""

from collections import Counter
from collections.abc import Iterable

from moorage_common.modelfiles.safetensors_header import Tensor, invalid
from moorage_common.modelfiles.safetensors_index import MAX_TENSORS

MAX_TOTAL_BYTES = 1 << 50

# fmt: off
TOWERS: frozenset[str] = frozenset({
    "apm", "audio_encoder", "audio_projection_layer", "audio_tower", "connector", "embed_audio",
    "embed_tokens_extend", "embed_vision", "image_newline", "img_projection", "language_projection", "mlp1",
    "mlp_AR", "mm_projector", "multi_modal_projector", "patch_merger", "projector", "qformer", "resampler",
    "resampler_model", "sam_model", "sound_encoder", "talker", "token2wav", "tts", "vision", "vision_adapter",
    "vision_backbone", "vision_embed_tokens", "vision_encoder", "vision_language_adapter", "vision_model",
    "vision_projector", "vision_tower", "visual", "visual_tokenizer", "vit_downsampler", "vit_large_projector",
    "vpm", "vte",
})
"""Modules of multimodal models beside the language model: encoders, what leads from them, other outputs."""

EMBEDDINGS: frozenset[str] = frozenset({
    "embed_in", "embed_out", "embed_tokens", "lm_head", "output_layer", "tok_embeddings", "word_embeddings",
    "wte",
})
"""Modules that are the token embedding or the output head, wherever they are."""

_OUTER_EMBEDDINGS = ("output.", "shared.", "backbone.embeddings.")
# Experts that lie together in one tensor, under names that do not say so.
_FUSED_EXPERTS = (
    ".block_sparse_moe.input_linear.", ".block_sparse_moe.output_linear.",
    ".moe.down_proj.", ".moe.gate_proj.", ".moe.up_proj.",
)
# What goes with quantised weights and is none: scales, zero points, orders, codes.
_AUXILIARY = (
    ".SCB", ".g_idx", ".qzeros", ".scales", ".weight_format", "__fp4", "__nf4", "_scale", "_scale_2",
    "_scale_inv", "_scales", "_shape", "absmax", "quant_map", "zero_point",
)
# fmt: on

_CONTAINER_BITS = {"I32": 32, "U8": 8}
"""Formats that several quantised weights are packed into."""


class WeightSums:
    """Bytes and parameters of a model's tensors, by what they are.

    Args:
        quantized_bits: Bits of a quantised weight. 0: the model is not quantised.
    """

    def __init__(self, quantized_bits: int) -> None:
        self.bytes_by_dtype: Counter[str] = Counter()
        self.total_bytes = self.tower_bytes = self.expert_bytes = self.embedding_bytes = 0
        self.parameter_count = 0
        self.embedding_rows = 0
        """Rows of the token embedding: the tokens of the vocabulary, or some more to make them even."""
        self._bits = quantized_bits
        self._expert_modules: set[str] = set()
        # By the hashes of their names, which are longer; two names of one model share one in a billion models.
        self._owners: dict[int, str] = {}

    def add(self, file_name: str, tensor: Tensor) -> None:
        """Adds a tensor of a file.

        Raises:
            FailedPrecondition: MODEL_FILE_INVALID: there was one of that name, or there are too many.
        """
        self._own(file_name, tensor.name)
        size = tensor.size_bytes
        self.total_bytes += size
        self.bytes_by_dtype[tensor.dtype] += size
        self.parameter_count += self._parameters(tensor)
        if is_tower(tensor.name):
            self.tower_bytes += size
        elif is_expert(tensor.name):
            self.expert_bytes += size
            self._expert_modules.add(tensor.name.partition(".experts.")[0])
        elif is_embedding(tensor.name):
            self.embedding_bytes += size
            self.embedding_rows = max(self.embedding_rows, tensor.shape[0] if len(tensor.shape) == 2 else 0)

    def expert_block_count(self, block_count: int) -> int:
        """How many blocks have experts, of so many; those after them predict several tokens."""
        blocks = {_block(name) for name in self._expert_modules}
        return sum(0 <= block < block_count for block in blocks)

    def missing(self, names: Iterable[str]) -> str:
        """The first of those names that no tensor has; empty when there is none."""
        return next((name for name in names if hash(name) not in self._owners), "")

    def _own(self, file_name: str, name: str) -> None:
        key = hash(name)
        owner = self._owners.get(key)
        if owner is not None:
            where = f"in {owner}, too" if owner != file_name else "there twice"
            raise invalid(file_name, f"tensor {name[:200]!r} is {where}")
        if len(self._owners) == MAX_TENSORS or self.total_bytes > MAX_TOTAL_BYTES:
            raise invalid(
                file_name,
                f"with it the model has {len(self._owners):,} tensors of {self.total_bytes:,} bytes;"
                " no model is that large",
            )
        self._owners[key] = file_name

    def _parameters(self, tensor: Tensor) -> int:
        if not self._bits:
            return tensor.elements
        if tensor.name.endswith(_AUXILIARY):
            return 0
        container = _CONTAINER_BITS.get(tensor.dtype, 0)
        return tensor.elements * container // self._bits if container > self._bits else tensor.elements


def _block(name: str) -> int:
    """The number of the block that a tensor is in, which its name has as a part. -1: it is in none."""
    parts = name.split(".", 5)[:5]
    number = next((part for part in parts if part.isdecimal() and len(part) < 5), "")
    return int(number) if number and "mtp" not in parts else -1


def is_tower(name: str) -> bool:
    """Whether a tensor belongs to a vision or audio tower, its projector, or a speech output."""
    # Nearly every tensor begins so: they need not be taken apart.
    return not name.startswith("model.layers.") and not TOWERS.isdisjoint(name.split(".", 3)[:3])


def is_expert(name: str) -> bool:
    """Whether a tensor belongs to an expert that not every token uses."""
    return ".experts." in name or ("moe." in name and any(part in name for part in _FUSED_EXPERTS))


def is_embedding(name: str) -> bool:
    """Whether a tensor is of the token embedding or the output head."""
    module = name.rsplit(".", 2)[-2:-1]
    return not EMBEDDINGS.isdisjoint(module) or name.startswith(_OUTER_EMBEDDINGS)
