"""What an engine needs of a card for a model: how new it must be, and how new its driver."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from moorage_common.core.placement import VllmDtype
from moorage_common.core.states import AcceleratorKind, EngineKind
from moorage_scheduler.core.versions import parse
from moorage_scheduler.filters.cuda import MIN_DRIVER, cuda_of
from moorage_scheduler.filters.quantizations import CANN, CUDA_CAPABILITY, ROCM

_NONE = (0, 0)
_VLLM_ON_CUDA_13 = (0, 20)
"""From this version on `pip install vllm` brings CUDA 13: it asks for PyTorch 2.11, which is built with it."""
_DTYPE_CAPABILITY: Mapping[VllmDtype | None, tuple[int, int]] = {
    VllmDtype.BF16: (8, 0),
    VllmDtype.F16: (6, 0),
}
"""`check_if_supports_dtype` and `supported_dtypes` in vllm/platforms/cuda.py, 0.32.0.

Without a wish it falls back to a format that the card has, so only what was asked for can be too much.
"""
_LLAMA_CPP_CAPABILITY: Mapping[int, tuple[int, int]] = {11: (5, 0), 12: (5, 0), 13: (7, 5)}
"""The oldest that its builds are made for: ggml/src/ggml-cuda/CMakeLists.txt, 2026."""
_VLLM_CAPABILITY: Mapping[int, tuple[int, int]] = {11: (7, 0), 12: (7, 0), 13: (7, 5)}
"""vLLM's documentation: 7.0 or higher (v0.14, CUDA 12), 7.5 or higher (v0.21; CUDA 13 compiles for no older ones)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CardNeeds:
    """What a card must be."""

    supported: bool = True
    """Whether there is any card of the kind that can do it."""
    min_capability: tuple[int, int] = _NONE
    """Compute capability, for CUDA. (0, 0): any."""
    min_driver: tuple[int, ...] = ()
    """The driver's version. Empty: any."""


@lru_cache(maxsize=4096)
def needs_of(
    engine: EngineKind,
    quantization: str,
    dtype: VllmDtype | None,
    kind: AcceleratorKind,
    *,
    version: str = "",
) -> CardNeeds:
    """Returns what an engine needs of a card.

    Args:
        engine: The engine.
        quantization: As files name it, e.g. ``fp8``. Empty: none.
        dtype: What was asked for to compute in. None: nothing.
        kind: How the card is driven.
        version: The engine's, with the CUDA that it was built with where that is told (``0.32.0+cu129``).
            Empty: not known; then the oldest that could do.

    """
    if engine is EngineKind.LLAMA_CPP:
        return _llama_cpp(kind, version)
    if kind is not AcceleratorKind.CUDA:
        offered = {AcceleratorKind.ROCM: ROCM, AcceleratorKind.CANN: CANN}.get(kind, frozenset())
        return CardNeeds(supported=not quantization or quantization.lower() in offered)
    cuda = cuda_of(version) or _default_cuda(version)
    wanted = (
        _VLLM_CAPABILITY[cuda],
        CUDA_CAPABILITY.get(quantization.lower(), _NONE),
        _DTYPE_CAPABILITY.get(dtype, _NONE),
    )
    return CardNeeds(min_capability=max(wanted), min_driver=MIN_DRIVER[cuda])


def _default_cuda(version: str) -> int:
    return 13 if parse(version) >= _VLLM_ON_CUDA_13 else 12


def _llama_cpp(kind: AcceleratorKind, version: str) -> CardNeeds:
    if kind is not AcceleratorKind.CUDA:
        return CardNeeds()
    cuda = cuda_of(version) or min(MIN_DRIVER)
    return CardNeeds(min_capability=_LLAMA_CPP_CAPABILITY[cuda], min_driver=MIN_DRIVER[cuda])
