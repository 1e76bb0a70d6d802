"""Where llama.cpp computes attention without its whole matrix in memory."""

from moorage_common.core.placement import FlashAttention, KvCacheType, PlacementReason
from moorage_common.core.states import AcceleratorKind
from moorage_common.modelfiles.gguf_facts import GgufFacts
from moorage_scheduler.core.explanation import Rejection
from moorage_scheduler.core.request import LlamaCppOptions

_WITHOUT = frozenset({"grok"})
"""Architectures that are computed with the whole matrix whatever is asked for."""
_CUDA_LENGTHS = frozenset({40, 64, 72, 80, 96, 112, 128, 256})
"""Lengths of keys, and values as long, for which llama.cpp has a kernel on NVIDIA and AMD cards."""
_CUDA_PAIRS = {192: (128, 8), 320: (256, 32), 512: (512, 1), 576: (512, 1)}
"""Other lengths of keys, each with the length of values. Several heads must share a key, a multiple of so many."""
_METAL_LENGTHS = frozenset({32, 40, 48, 64, 72, 80, 96, 112, 128, 192, 256, 320, 512, 576})
_METAL_PAIRS = frozenset({(96, 64), (128, 96), (192, 128), (320, 256), (576, 512)})
"""Lengths of keys and values that need not be the same."""
_CANN_WITHOUT = frozenset({"gemma2", "gpt-oss"})
"""Architectures that cap scores or have sinks, for which llama.cpp has no kernel on Ascend cards."""
_BLOCK = 32
"""Values that share a scale in a quantised cache."""


def uses_flash(facts: GgufFacts, options: LlamaCppOptions, kind: AcceleratorKind | None) -> bool:
    """Returns whether llama.cpp uses flash attention.

    Args:
        facts: The model.
        options: How it is started.
        kind: What the blocks are computed on. None: the CPU.
    """
    if options.flash_attention is FlashAttention.OFF or facts.architecture in _WITHOUT:
        return False
    if options.flash_attention is FlashAttention.ON or options.kv_cache_type is not KvCacheType.F16:
        return True
    if kind is AcceleratorKind.CANN and facts.architecture in _CANN_WITHOUT:
        return False
    return all(_has_kernel(kind, *shape) for shape in _shapes(facts))


def refused(facts: GgufFacts, options: LlamaCppOptions) -> Rejection | None:
    """Returns why llama.cpp would not load this model with these options. None: it would."""
    cache = options.kv_cache_type
    if cache is KvCacheType.F16 or not any(facts.block_key_elements):
        return None
    if not uses_flash(facts, options, None):
        return _refused(cache, "flash attention", f"{facts.architecture} without it")
    for key, value, _ in sorted(_shapes(facts)):
        if key % _BLOCK or value % _BLOCK:
            return _refused(
                cache, f"heads of a multiple of {_BLOCK} values", f"{key} for keys, {value} for values"
            )
    return None


def _refused(cache: KvCacheType, needed: str, available: str) -> Rejection:
    return Rejection(
        reason=PlacementReason.MODEL_UNSUPPORTED,
        needed=needed,
        available=available,
        remedy=f"llama.cpp cannot keep this model's cache as {cache}: leave kv_cache_type at F16",
    )


def _shapes(facts: GgufFacts) -> set[tuple[int, int, int]]:
    """Lengths of key and value, and heads that share a key, of the blocks that attend."""
    shapes = set()
    for heads, heads_kv, keys, values in zip(
        facts.head_counts,
        facts.head_counts_kv,
        facts.block_key_elements,
        facts.block_value_elements,
        strict=True,
    ):
        if not heads or not heads_kv:
            continue
        if facts.kv_lora_rank:
            shapes.add((facts.key_length, facts.kv_lora_rank, heads))
        elif keys and keys % heads_kv == values % heads_kv == 0:
            shapes.add((keys // heads_kv, values // heads_kv, heads // heads_kv))
        else:
            shapes.add((facts.key_length, facts.value_length, heads // heads_kv))
    return shapes


def _has_kernel(kind: AcceleratorKind | None, key: int, value: int, sharing: int) -> bool:
    match kind:
        case AcceleratorKind.CUDA | AcceleratorKind.ROCM:
            if key in _CUDA_PAIRS:
                length, multiple = _CUDA_PAIRS[key]
                return value == length and sharing > 1 and sharing % multiple == 0
            return key in _CUDA_LENGTHS and key == value
        case AcceleratorKind.METAL:
            return key in _METAL_LENGTHS and (key == value or (key, value) in _METAL_PAIRS)
        case AcceleratorKind.CANN:
            return key == value
        case _:
            return True
