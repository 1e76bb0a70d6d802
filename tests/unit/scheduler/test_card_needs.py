"""How new a card and its driver must be."""

import pytest

from moorage_common.core.placement import VllmDtype
from moorage_common.core.states import AcceleratorKind, EngineKind
from moorage_scheduler.filters.card_needs import CardNeeds, needs_of
from moorage_scheduler.filters.cuda import cuda_of
from moorage_scheduler.filters.quantizations import CANN, CUDA_CAPABILITY, ROCM

CUDA = AcceleratorKind.CUDA


def vllm(quantization="", dtype=None, kind=CUDA, version="0.32.0"):
    return needs_of(EngineKind.VLLM, quantization, dtype, kind, version=version)


class TestCapability:
    @pytest.mark.parametrize(
        ("quantization", "dtype", "needed"),
        [
            ("", None, (7, 5)),
            ("", VllmDtype.F16, (7, 5)),
            ("", VllmDtype.BF16, (8, 0)),
            ("fp8", None, (7, 5)),
            ("awq", None, (7, 5)),
            ("gptq", None, (7, 5)),
            ("gptq_marlin", None, (7, 5)),
            ("mxfp4", None, (8, 0)),
            ("modelopt_fp4", None, (7, 5)),
            ("fp_quant", VllmDtype.BF16, (10, 0)),
            ("bitsandbytes", None, (7, 5)),
            ("gguf", None, (7, 5)),
            ("AWQ", None, (7, 5)),
            ("of-tomorrow", None, (7, 5)),
        ],
    )
    def test_on_cuda(self, quantization, dtype, needed):
        assert vllm(quantization, dtype).min_capability == needed

    def test_builds_of_cuda_12_still_run_on_volta(self):
        assert vllm(version="0.14.0").min_capability == (7, 0)
        assert vllm("gptq", version="0.32.0+cu129").min_capability == (7, 0)
        assert vllm("awq", version="0.14.0").min_capability == (7, 5)


class TestDriver:
    @pytest.mark.parametrize(
        ("version", "driver"),
        [
            ("0.19.1", (525,)),
            ("0.20.0", (580,)),
            ("0.32.0", (580,)),
            ("0.32.0+cu129", (525,)),
            ("0.9.2+cu118", (450,)),
            ("0.19.0+cu130", (580,)),
            ("", (525,)),
        ],
    )
    def test_follows_the_cuda_of_the_build(self, version, driver):
        assert vllm(version=version).min_driver == driver

    def test_versions_tell_of_it_in_several_ways(self):
        told = {"0.32.0+cu129": 12, "b7000-cuda-13.1": 13, "0.32.0": None, "cu99": None, "": None}
        assert {text: cuda_of(text) for text in told} == told


class TestOtherKinds:
    @pytest.mark.parametrize(
        "quantization", ["", "fp8", "awq", "gptq", "compressed-tensors", "mxfp4", "gguf"]
    )
    def test_rocm_can(self, quantization):
        assert vllm(quantization, kind=AcceleratorKind.ROCM) == CardNeeds()

    @pytest.mark.parametrize("quantization", ["bitsandbytes", "experts_int8", "fp_quant"])
    def test_rocm_cannot(self, quantization):
        assert not vllm(quantization, kind=AcceleratorKind.ROCM).supported

    def test_ascend(self):
        can = {
            name
            for name in ("", "ascend", "fp8", "awq", "gptq", "mxfp4")
            if vllm(name, kind=AcceleratorKind.CANN).supported
        }
        assert can == {"", "ascend", "fp8"}

    def test_16_bit_floats_are_no_question_there(self):
        assert vllm(dtype=VllmDtype.BF16, kind=AcceleratorKind.ROCM) == CardNeeds()

    def test_tables_name_methods_in_small_letters(self):
        assert all(name == name.lower() for name in (*CUDA_CAPABILITY, *ROCM, *CANN))


class TestLlamaCpp:
    def test_runs_on_old_cards(self):
        needs = needs_of(EngineKind.LLAMA_CPP, "Q4_K", None, CUDA)
        assert (needs.min_capability, needs.min_driver) == ((5, 0), (450,))

    def test_builds_of_cuda_13_do_not(self):
        needs = needs_of(EngineKind.LLAMA_CPP, "Q4_K", None, CUDA, version="b7000+cu13")
        assert (needs.min_capability, needs.min_driver) == ((7, 5), (580,))

    def test_other_kinds_are_not_asked(self):
        assert needs_of(EngineKind.LLAMA_CPP, "Q4_K", None, AcceleratorKind.METAL) == CardNeeds()
