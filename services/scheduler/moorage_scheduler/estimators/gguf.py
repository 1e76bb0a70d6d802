"""The memory of a GGUF model in llama.cpp, wherever its layers go.

Weights, and what is kept of contexts, are exact; compute buffers are laid out as llama.cpp lays them out
(`gguf_compute`). What the process takes besides was measured on a CPU; what a GPU's driver takes besides is set to
the upper end of what is usual, since it is not in any log: the agent's measurements show it as used by others until
it is claimed.
"""

from functools import lru_cache

from moorage_common.core.states import AcceleratorKind
from moorage_common.modelfiles.architectures import HEAD_FIRST
from moorage_common.modelfiles.gguf_facts import GgufFacts
from moorage_scheduler.core.memory import MemoryProfile, Parts, Unit
from moorage_scheduler.core.request import LlamaCppOptions
from moorage_scheduler.estimators.gguf_compute import ComputeBuffers, on_cpu, on_gpus
from moorage_scheduler.estimators.gguf_context import Context, context_of
from moorage_scheduler.estimators.gguf_flash import uses_flash
from moorage_scheduler.estimators.gguf_host import checkpoint_bytes, scratch_bytes
from moorage_scheduler.estimators.gguf_kv import kept_per_block
from moorage_scheduler.estimators.llama_cpp_overhead import DRIVER_BYTES, PROCESS_BYTES, TOKEN_BYTES

_UNPACKING = frozenset({AcceleratorKind.CUDA, AcceleratorKind.ROCM})
"""GPUs on which a quantised cache is unpacked before queries look at it."""
_COPYING = frozenset({AcceleratorKind.CUDA, AcceleratorKind.ROCM, AcceleratorKind.CANN})
"""GPUs that compute large batches of what is in RAM, too, and for that have a copy of one matrix at a time."""


# A scheduler estimates the same model again and again: for each replica, and each time that it waits for room.
@lru_cache(maxsize=1024)
def gguf_profile(facts: GgufFacts, options: LlamaCppOptions) -> MemoryProfile:
    """Returns what a model needs with these options, wherever its layers go."""
    context = context_of(facts, options)
    buffers = _buffers_by_kind(facts, options, context)
    copied = Parts(compute=facts.largest_block_tensor_bytes)
    cpu = on_cpu(facts, context, flash=uses_flash(facts, options, None))
    return MemoryProfile(
        units=_units(facts, options, context),
        per_gpu={kind: _beside_units(kind, found.gpu) for kind, found in buffers.items()},
        per_gpu_of_several={
            kind: _beside_units(kind, found.gpu_of_several) for kind, found in buffers.items()
        },
        per_gpu_beside_ram={kind: copied if kind in _COPYING else Parts() for kind in DRIVER_BYTES},
        host=Parts(
            # Tokens are embedded on the CPU, always.
            weights=facts.token_embedding_bytes + facts.other_bytes,
            overhead=PROCESS_BYTES
            + TOKEN_BYTES * facts.vocabulary_size
            + context.slots * checkpoint_bytes(facts, context, options.kv_cache_type),
        ),
        host_beside_gpu=Parts(compute=max(found.host for found in buffers.values())),
        host_beside_several=Parts(compute=max(found.host_of_several for found in buffers.values())),
        host_computing=Parts(compute=cpu.host, overhead=scratch_bytes(facts, context)),
        host_alone=Parts(weights=_held_twice(facts, options)),
        host_remote=Parts(overhead=PROCESS_BYTES + _largest_tensor(facts)),
        context_length=context.length,
    )


def _buffers_by_kind(
    facts: GgufFacts, options: LlamaCppOptions, context: Context
) -> dict[AcceleratorKind, ComputeBuffers]:
    found: dict[tuple[bool, bool], ComputeBuffers] = {}
    by_kind = {}
    for kind in DRIVER_BYTES:
        way = uses_flash(facts, options, kind), context.quantized and kind in _UNPACKING
        if way not in found:
            found[way] = on_gpus(facts, context, flash=way[0], unpacks=way[1])
        by_kind[kind] = found[way]
    return by_kind


def _beside_units(kind: AcceleratorKind, compute: int) -> Parts:
    return Parts(compute=compute, overhead=DRIVER_BYTES[kind])


def _units(facts: GgufFacts, options: LlamaCppOptions, context: Context) -> tuple[Unit, ...]:
    # Without flash attention on one kind of GPU, no placement may count on the smaller cache that it makes.
    flash = all(uses_flash(facts, options, kind) for kind in (None, *DRIVER_BYTES))
    kept = kept_per_block(facts, context, options.kv_cache_type, flash=flash)
    loaded = facts.block_count - facts.nextn_block_count
    blocks = [
        Parts(weights=weights if block < loaded else 0, kv_cache=kept[block])
        for block, weights in enumerate(facts.block_bytes)
    ]
    # A tied head is the token embedding: the CPU reads that one, a GPU needs a copy of its own.
    tied = facts.token_embedding_bytes if facts.tied_embedding else 0
    beside = facts.output_bytes + facts.projector_bytes
    output = Unit(on_gpu=Parts(weights=beside + tied), on_cpu=Parts(weights=beside))
    return (output, *(Unit(on_gpu=parts, on_cpu=parts) for parts in reversed(blocks)))


def _held_twice(facts: GgufFacts, options: LlamaCppOptions) -> int:
    """Bytes that a CPU without a GPU beside it rearranges, and holds besides as they lie in the file."""
    if options.forbid_mmap:
        # Read into memory, a matrix is held as it is needed, and once. Embeddings are needed as they lie.
        twice = facts.output_repack_bytes > 0 or facts.architecture in HEAD_FIRST
        return facts.token_embedding_bytes if facts.tied_embedding and twice else 0
    return max(0, sum(facts.block_repack_bytes) + facts.output_repack_bytes - facts.unmapped_bytes)


def _largest_tensor(facts: GgufFacts) -> int:
    """Bytes that pass through the RAM of a worker at once on their way to its GPUs."""
    tied = facts.token_embedding_bytes if facts.tied_embedding else 0
    return max(facts.largest_block_tensor_bytes, facts.output_bytes, tied)
