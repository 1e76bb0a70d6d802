"""What a model needs in llama.cpp, given in bytes: used as given, nothing is computed from an architecture."""

from itertools import pairwise

from moorage_common.core.llama_cpp import DEFAULT_CONTEXT
from moorage_scheduler.core.memory import MemoryProfile, Parts, Unit
from moorage_scheduler.core.request import LlamaCppOptions
from moorage_scheduler.core.sizes import LayerSizes
from moorage_scheduler.estimators.llama_cpp_overhead import DRIVER_BYTES, PROCESS_BYTES


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
    per_gpu = {
        kind: Parts(compute=sizes.gpu_compute_bytes, overhead=_given(sizes.gpu_overhead_bytes, driver))
        for kind, driver in DRIVER_BYTES.items()
    }
    return MemoryProfile(
        units=(_unit(output), *reversed(blocks)),
        per_gpu=per_gpu,
        per_gpu_of_several=per_gpu,
        host=Parts(
            weights=sizes.token_embedding_bytes,
            compute=sizes.ram_compute_bytes,
            overhead=_given(sizes.ram_overhead_bytes, PROCESS_BYTES),
        ),
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
