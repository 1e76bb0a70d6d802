"""What engines reach of what cards and CPUs can do: where predictions start before anything was measured.

docs/prediction.md derives each figure from published measurements, or says that it is assumed.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from moorage_common.core.states import AcceleratorKind, EngineKind


@dataclass(frozen=True, slots=True, kw_only=True)
class CardRates:
    """One engine on one kind of card."""

    memory_share: float
    """Part of the memory's bandwidth that reading weights reaches."""
    layer_s: float
    """What each layer takes besides: kernels are started, and small ones wait for each other."""
    compute_share: float
    """Part of the card's FLOPs that reading a prompt reaches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreRates:
    """One CPU core on one type of weights."""

    bytes_per_s: float
    """Of weights, as fast as they can be computed with when they need not come from RAM."""
    flops: float
    """When reading a prompt."""


_LLAMA_CPP = {
    AcceleratorKind.CUDA: CardRates(memory_share=0.90, layer_s=45e-6, compute_share=0.65),
    AcceleratorKind.ROCM: CardRates(memory_share=0.80, layer_s=105e-6, compute_share=0.40),
    AcceleratorKind.METAL: CardRates(memory_share=0.80, layer_s=120e-6, compute_share=0.70),
    AcceleratorKind.CANN: CardRates(memory_share=0.60, layer_s=200e-6, compute_share=0.30),
}
_VLLM = {
    AcceleratorKind.CUDA: CardRates(memory_share=0.85, layer_s=20e-6, compute_share=0.55),
    AcceleratorKind.ROCM: CardRates(memory_share=0.75, layer_s=30e-6, compute_share=0.40),
    AcceleratorKind.METAL: CardRates(memory_share=0.70, layer_s=120e-6, compute_share=0.50),
    AcceleratorKind.CANN: CardRates(memory_share=0.65, layer_s=60e-6, compute_share=0.40),
}
CARD_RATES: Mapping[EngineKind, Mapping[AcceleratorKind, CardRates]] = {
    EngineKind.LLAMA_CPP: _LLAMA_CPP,
    EngineKind.VLLM: _VLLM,
}

CORE_MEMORY_BYTES_PER_S = 16e9
"""What one core can draw from RAM."""
RAM_SHARE = 0.80
"""Part of the RAM's bandwidth that all cores together reach."""
CORE_CONTEXT_BYTES_PER_S = 2.9e9
"""Of keys and values, as fast as one core can attend to them when they need not come from RAM."""
CORE_CONTEXT_PRODUCTS_PER_S = 4.4e9
"""Products of attention, by one core. Whichever of the two takes longer counts."""

_CORE_RATES: Mapping[str, CoreRates] = {
    "F32": CoreRates(bytes_per_s=26e9, flops=36e9),
    "F16": CoreRates(bytes_per_s=23e9, flops=41e9),
    "BF16": CoreRates(bytes_per_s=19e9, flops=39e9),
    "Q8_0": CoreRates(bytes_per_s=16.5e9, flops=58e9),
    "Q6_K": CoreRates(bytes_per_s=14e9, flops=80e9),
    "Q5_K": CoreRates(bytes_per_s=9.7e9, flops=81e9),
    "Q5_0": CoreRates(bytes_per_s=9e9, flops=41e9),
    "Q4_K": CoreRates(bytes_per_s=11.4e9, flops=94e9),
    "Q4_0": CoreRates(bytes_per_s=10.5e9, flops=65e9),
    "Q3_K": CoreRates(bytes_per_s=7.5e9, flops=84e9),
    "Q2_K": CoreRates(bytes_per_s=7.1e9, flops=79e9),
    "IQ4_XS": CoreRates(bytes_per_s=8.9e9, flops=73e9),
    "IQ3_XXS": CoreRates(bytes_per_s=3.2e9, flops=85e9),
    "IQ2_XXS": CoreRates(bytes_per_s=2.6e9, flops=86e9),
    "IQ1_S": CoreRates(bytes_per_s=2.2e9, flops=86e9),
}
_ALIKE: Mapping[str, str] = {
    "": "F16",
    "Q4_1": "Q4_0",
    "Q5_1": "Q5_0",
    "Q8_1": "Q8_0",
    "IQ4_NL": "IQ4_XS",
    "IQ3_S": "IQ3_XXS",
    "IQ2_XS": "IQ2_XXS",
    "IQ2_S": "IQ2_XXS",
    "IQ1_M": "IQ1_S",
}
"""Types that were not measured, by one that is computed with in a similar way."""
_OTHERS = "Q4_0"


def core_rates(weight_type: str) -> CoreRates:
    """Returns what one core does with a type of weights, as GGUF names it. Empty: 16-bit floats."""
    named = _ALIKE.get(weight_type, weight_type)
    return _CORE_RATES.get(named, _CORE_RATES[_OTHERS])
