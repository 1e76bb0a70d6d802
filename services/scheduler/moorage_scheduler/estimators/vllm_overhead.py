"""What vLLM's processes take beside the model: on each GPU, and in RAM."""

from moorage_common.modelfiles.safetensors_facts import SafetensorsFacts
from moorage_scheduler.core.memory import Parts
from moorage_scheduler.core.parallel import ParallelShape
from moorage_scheduler.core.request import VllmOptions

_MIB = 2**20
_ALONE_BYTES = 144 * _MIB
_GROUPED_BYTES = 564 * _MIB
"""Libraries' memory that vLLM counts into what it may take ("non-torch memory").

Measured on H100 with vLLM 0.11 (published by the llm-d project): 0.13 to 0.14 GiB on one GPU, 0.54 to 0.55 on each of
two, whose communication buffers it is. ROCm and Ascend are taken to be alike.
"""
_CONTEXT_ALONE_BYTES = 625 * _MIB
_CONTEXT_GROUPED_BYTES = 1577 * _MIB
"""Driver's context and first communication buffers, which vLLM does not count.

It makes them before it looks how much is free (`init_device` in vllm/v1/worker/gpu_worker.py, vLLM 0.32.0). In the same
logs 0.61 GiB of an empty card were gone then, 1.54 on each of two.
"""
_RANK_RAM_BYTES = 2 * 2**30
_LEADER_RAM_BYTES = 2 * 2**30
"""RAM of the process that drives one GPU, and of those that serve and schedule: assumptions.

All processes of an instance on one CPU took 1.4 GB with next to no model; a GPU's libraries come on top.
"""
_TOKEN_BYTES = 5
"""RAM for each token that might be: its number and a mark (`token_ids_cpu`, `is_token_ids` in gpu_input_batch.py)."""
_IMAGE_CACHE_BYTES = 4 * 2**30
"""Processed images that are kept, by the serving process and by each copy's scheduler (`mm_processor_cache_gb`)."""


def gpu_overhead(shape: ParallelShape) -> int:
    """Returns what libraries take on one GPU, within what vLLM counts."""
    return _ALONE_BYTES if shape.ranks == 1 else _GROUPED_BYTES


def gpu_context(shape: ParallelShape) -> int:
    """Returns what the driver takes on one GPU beside what vLLM counts."""
    return _CONTEXT_ALONE_BYTES if shape.ranks == 1 else _CONTEXT_GROUPED_BYTES


def host_memory(
    facts: SafetensorsFacts,
    options: VllmOptions,
    *,
    length: int,
    shape: ParallelShape,
    ranks: int,
    leads: bool,
) -> Parts:
    """Returns what one worker's RAM holds.

    Args:
        facts: The model.
        options: How vLLM is started.
        length: Tokens of the longest request.
        shape: How the model is cut.
        ranks: How many of its GPUs are this worker's.
        leads: Whether the worker serves the instance.

    """
    seen = bool(facts.tower_bytes) and not options.text_only
    images = _IMAGE_CACHE_BYTES * (1 + shape.data) if seen and leads else 0
    return Parts(
        kv_cache=options.host_kv_cache_bytes,
        compute=ranks * _TOKEN_BYTES * options.max_num_seqs * length + images,
        overhead=host_overhead(ranks=ranks, leads=leads),
    )


def host_overhead(*, ranks: int, leads: bool) -> int:
    """Returns what processes take of a worker's RAM."""
    return ranks * _RANK_RAM_BYTES + (_LEADER_RAM_BYTES if leads else 0)
