"""What llama.cpp takes beside a model, as `gguf` assumes it too."""

from collections.abc import Mapping

from moorage_common.core.states import AcceleratorKind

_MIB = 2**20
PROCESS_BYTES = 34 * _MIB
"""RAM of the engine's code and its threads' stacks, measured with next to no model, after prompts of 6,000 tokens."""
TOKEN_BYTES = 300
"""RAM that the tokenizer keeps per token of the vocabulary, measured with vocabularies of 8,000 to 260,000."""
DRIVER_BYTES: Mapping[AcceleratorKind, int] = {
    AcceleratorKind.CUDA: 512 * _MIB,
    AcceleratorKind.ROCM: 512 * _MIB,
    AcceleratorKind.METAL: 64 * _MIB,
    AcceleratorKind.CANN: 512 * _MIB,
}
"""Context, kernels and libraries on each GPU: assumptions, at the upper end of what is usual."""
