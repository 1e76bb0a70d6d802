"""Which cards vLLM's quantisations compute on, as vLLM 0.32.0 has it.

Minima are `get_min_capability` of each method in vllm/model_executor/layers/quantization; the engine refuses a card
below that (`_get_quantization_config` in vllm/config/vllm.py). Where a card lacks the hardware, most methods run
with weights only, which is slower and still works: FP8 needs 8.9 to compute in 8 bits, 7.5 to run at all.
"""

from collections.abc import Mapping
from types import MappingProxyType

CUDA_CAPABILITY: Mapping[str, tuple[int, int]] = MappingProxyType(
    {
        "auto_awq": (7, 5),
        "auto_gptq": (6, 0),
        "awq": (7, 5),
        "awq_marlin": (7, 5),
        "bitsandbytes": (7, 0),  # a plugin since it left the engine; there it was 7.0 (docs, v0.15.1)
        "compressed-tensors": (7, 0),
        "deepseek_v4_fp8": (7, 5),
        "experts_int8": (8, 0),
        "fbgemm_fp8": (8, 0),
        "fp8": (7, 5),
        "fp_quant": (10, 0),
        "gguf": (6, 0),  # a plugin since it left the engine; there Volta and all later ones (docs, v0.15.1)
        "gpt_oss_mxfp4": (8, 0),
        "gptq": (6, 0),
        "gptq_marlin": (6, 0),
        "inc": (6, 0),
        "modelopt": (8, 0),
        "modelopt_fp4": (7, 5),
        "modelopt_mixed": (7, 5),
        "modelopt_mxfp8": (8, 0),
        "moe_wna16": (7, 0),
        "mxfp4": (8, 0),
        "mxfp8": (8, 0),
        "nvfp4": (7, 5),  # what files of compressed-tensors and ModelOpt call their format
        "quark": (7, 0),
        "torchao": (7, 5),
    }
)
ROCM: frozenset[str] = frozenset(
    {
        "auto_awq",
        "auto_gptq",
        "awq",
        "awq_marlin",
        "compressed-tensors",
        "deepseek_v4_fp8",
        "fbgemm_fp8",
        "fp8",
        "gguf",  # a plugin; supported on AMD when it was part of the engine (docs, v0.15.1)
        "gpt_oss_mxfp4",
        "gptq",
        "inc",
        "modelopt",
        "modelopt_fp4",
        "modelopt_mixed",
        "modelopt_mxfp8",
        "mxfp4",
        "mxfp8",
        "quark",
        "torchao",
    }
)
"""`supported_quantization` in vllm/platforms/rocm.py, 0.32.0."""
CANN: frozenset[str] = frozenset(
    {"ascend", "compressed-tensors", "deepseek_v4_fp8", "fp8", "modelopt_mxfp8", "mxfp8"}
)
"""`supported_quantization` in vllm_ascend/platform.py, August 2026."""
