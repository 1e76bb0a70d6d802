"""What a model needs in llama.cpp, given in bytes: used as given, nothing is computed from an architecture."""

from dataclasses import dataclass
from itertools import pairwise

from moorage_common.core.placement import ModelCategory
from moorage_scheduler.core.memory import MemoryProfile, Parts, Unit
from moorage_scheduler.core.request import LlamaCppOptions
from moorage_scheduler.estimators.gguf_context import DEFAULT_CONTEXT
from moorage_scheduler.estimators.llama_cpp_overhead import DRIVER_BYTES, PROCESS_BYTES


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
    category: ModelCategory = ModelCategory.LLM


def layer_profile(sizes: LayerSizes, options: LlamaCppOptions) -> MemoryProfile:
    """Returns what a model needs with these options, wherever its layers go.

    Raises:
        ValueError: The blocks' weights are not told, or keys and values of another number of blocks are.

    """
    length = options.context_length or min(sizes.context_length or DEFAULT_CONTEXT, DEFAULT_CONTEXT)
    kept = sizes.block_kv_bytes or (sizes.kv_bytes_per_token_per_block * length,) * len(
        sizes.block_weight_bytes
    )
    if not sizes.block_weight_bytes or len(kept) != len(sizes.block_weight_bytes):
        message = f"{len(sizes.block_weight_bytes)} blocks have weights and {len(kept)} have keys and values"
        raise ValueError(message)
    blocks = [
        _unit(Parts(weights=weights + adapter, kv_cache=kv_cache))
        for weights, adapter, kv_cache in zip(sizes.block_weight_bytes, _adapters(sizes), kept, strict=True)
    ]
    output = Parts(weights=sizes.output_bytes + sizes.draft_bytes + sizes.projector_bytes)
    return MemoryProfile(
        units=(_unit(output), *reversed(blocks)),
        per_gpu={
            kind: Parts(compute=sizes.gpu_compute_bytes, overhead=_given(sizes.gpu_overhead_bytes, driver))
            for kind, driver in DRIVER_BYTES.items()
        },
        host=Parts(
            weights=sizes.token_embedding_bytes,
            compute=sizes.ram_compute_bytes,
            overhead=_given(sizes.ram_overhead_bytes, PROCESS_BYTES),
        ),
        host_beside_gpu=Parts(),
        host_computing=Parts(),
        context_length=length,
    )


def _unit(parts: Parts) -> Unit:
    return Unit(on_gpu=parts, on_cpu=parts)


def _given(size: int | None, usual: int) -> int:
    return usual if size is None else size


def _adapters(sizes: LayerSizes) -> list[int]:
    count = len(sizes.block_weight_bytes)
    sums = [sizes.lora_bytes * done // count for done in range(count + 1)]
    return [after - before for before, after in pairwise(sums)]
