"""The memory of a GGUF model in llama.cpp on one worker.

Weights and keys and values are exact. The compute buffers are closed forms (`gguf_compute`). What the
process takes besides was measured on a CPU; what a GPU's driver takes besides is set to the upper end of what
is usual, since it is not in any log: the agent's measurements show it as used by others until it is claimed.
"""

from moorage_common.core.states import AcceleratorKind
from moorage_common.modelfiles.gguf_facts import GgufFacts
from moorage_scheduler.core.memory import MemoryProfile, Parts, Unit
from moorage_scheduler.core.request import LlamaCppOptions
from moorage_scheduler.estimators.gguf_compute import compute_buffers
from moorage_scheduler.estimators.gguf_context import context_of
from moorage_scheduler.estimators.gguf_kv import kv_bytes_per_block

_MIB = 2**20
_PROCESS_BYTES = 31 * _MIB
"""The engine's code, its threads' stacks and its scratch, measured with next to no model."""
_TOKEN_BYTES = 300
"""What the tokenizer keeps per token of the vocabulary, measured with vocabularies of 8,000 to 260,000."""
_DRIVER_BYTES = {
    AcceleratorKind.CUDA: 512 * _MIB,
    AcceleratorKind.ROCM: 512 * _MIB,
    AcceleratorKind.METAL: 64 * _MIB,
    AcceleratorKind.CANN: 512 * _MIB,
}
"""Context, kernels and libraries per GPU."""


def gguf_profile(facts: GgufFacts, options: LlamaCppOptions) -> MemoryProfile:
    """Returns what a model needs with these options, wherever its layers go."""
    context = context_of(facts, options)
    compute = compute_buffers(facts, context)
    kv_cache = kv_bytes_per_block(facts, context, options.kv_cache_type)
    blocks = [
        Unit(
            on_gpu=Parts(weights=weights, kv_cache=kept),
            # The CPU backend keeps some matrices a second time, in the order in which it reads them.
            on_cpu=Parts(weights=weights + repacked, kv_cache=kept),
        )
        for weights, repacked, kept in zip(facts.block_bytes, facts.block_repack_bytes, kv_cache, strict=True)
    ]
    return MemoryProfile(
        units=(_output_unit(facts), *reversed(blocks)),
        per_gpu={kind: Parts(compute=compute.gpu, overhead=driver) for kind, driver in _DRIVER_BYTES.items()},
        host=Parts(
            # Tokens are embedded on the CPU, always.
            weights=facts.token_embedding_bytes + facts.other_bytes,
            overhead=_PROCESS_BYTES + _TOKEN_BYTES * facts.vocabulary_size,
        ),
        host_beside_gpu=Parts(compute=compute.cpu_beside_gpu),
        host_computing=Parts(compute=compute.cpu),
        context_length=context.length,
    )


def _output_unit(facts: GgufFacts) -> Unit:
    # A tied head is the token embedding: the CPU reads that one, a GPU needs a copy of its own.
    copied = facts.token_embedding_bytes if facts.tied_embedding else 0
    return Unit(
        on_gpu=Parts(weights=facts.output_bytes + copied),
        on_cpu=Parts(weights=facts.output_bytes + facts.output_repack_bytes),
    )
