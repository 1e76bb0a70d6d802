"""Predicted memory against what real llama.cpp logs: weights, and what is kept, within 1%; all within 2%."""

from dataclasses import replace

import pytest

from lab.gguf_models import Shape
from lab.llama_cpp import load
from moorage_common.core.placement import FlashAttention, KvCacheType
from moorage_common.modelfiles.gguf import read_gguf_files
from moorage_scheduler.core.layers.ways import beside_ram
from moorage_scheduler.core.request import LlamaCppOptions
from moorage_scheduler.estimators.gguf import gguf_profile

OFF, Q8_0, Q4_0 = FlashAttention.OFF, KvCacheType.Q8_0, KvCacheType.Q4_0
LOGGED_DIGITS = 2**14
"""Hundredths of a MiB, of a few buffers."""

LLAMA = Shape(architecture="llama")
SMALL = Shape(
    architecture="llama", hidden=64, heads=4, heads_kv=2, head_length=16, feed_forward=192, vocabulary=320
)
QWEN3 = Shape(architecture="qwen3", heads_kv=2, head_length=128)
GEMMA3 = Shape(
    architecture="gemma3",
    blocks=7,
    heads=4,
    heads_kv=1,
    head_length=256,
    feed_forward=2048,
    tied=True,
    window=512,
)
QWEN3MOE = Shape(architecture="qwen3moe", heads_kv=2, experts=16, experts_used=4, expert_width=384)
DEEPSEEK2 = Shape(architecture="deepseek2", experts=8, experts_used=2, expert_width=384)

MODELS = {
    "small": SMALL,
    "llama": LLAMA,
    "llama-q8": replace(LLAMA, quantization="Q8_0"),
    "llama-q4": replace(LLAMA, quantization="Q4_0"),
    "llama-q4k": replace(LLAMA, quantization="Q4_K"),
    "llama-q4-tied": replace(LLAMA, quantization="Q4_0", tied=True),
    "llama-tied": replace(LLAMA, tied=True),
    "llama-wide": replace(LLAMA, hidden=256, feed_forward=4096, head_length=32, heads_kv=2),
    "llama-experts": replace(LLAMA, experts=8, experts_used=2),
    "qwen2": Shape(architecture="qwen2", heads_kv=2),
    "qwen3": QWEN3,
    "gemma2": Shape(architecture="gemma2", tied=True, window=1024),
    "gemma3": GEMMA3,
    "qwen3moe": QWEN3MOE,
    "qwen3moe-q4": replace(QWEN3MOE, quantization="Q4_0"),
    "deepseek2": DEEPSEEK2,
    "mamba": Shape(architecture="mamba", state=16),
    "mamba2": Shape(architecture="mamba2"),
    "jamba": Shape(architecture="jamba", blocks=6, state=16, experts=8, experts_used=2, feed_forward=1024),
    "falcon-h1": Shape(architecture="falcon-h1"),
    "granitehybrid": Shape(architecture="granitehybrid", blocks=6),
    "qwen3next": Shape(
        architecture="qwen3next",
        blocks=8,
        head_length=128,
        experts=16,
        experts_used=4,
        expert_width=256,
        groups=4,
    ),
    "gemma4": replace(GEMMA3, architecture="gemma4", blocks=8, own_embedding=128),
    "gemma4-q4": replace(GEMMA3, architecture="gemma4", blocks=8, own_embedding=128, quantization="Q4_0"),
    "qwen35": Shape(architecture="qwen35", blocks=8, head_length=128, groups=4),
    "lfm2": Shape(architecture="lfm2", blocks=6, tied=True),
}
CASES = [
    ("small", {"context_length": 512}),
    ("small", {"context_length": 16384, "parallel_slots": 4}),
    ("llama", {"context_length": 300}),
    ("llama", {"context_length": 1000, "parallel_slots": 3}),
    ("llama", {"context_length": 4096}),
    ("llama", {"context_length": 32768}),
    ("llama", {"context_length": 8192, "flash_attention": FlashAttention.ON}),
    ("llama", {"context_length": 8192, "flash_attention": OFF}),
    ("llama", {"context_length": 8192, "flash_attention": OFF, "parallel_slots": 4}),
    ("llama", {"context_length": 4096, "micro_batch_size": 128}),
    ("llama", {"context_length": 8192, "micro_batch_size": 4096}),
    ("llama", {"context_length": 16384, "parallel_slots": 4, "unified_kv_cache": True}),
    ("llama", {"context_length": 4096, "forbid_mmap": True}),
    ("llama", {"context_length": 16384, "kv_cache_type": Q8_0}),
    ("llama", {"context_length": 16384, "kv_cache_type": Q4_0, "parallel_slots": 4}),
    ("llama-q8", {"context_length": 4096}),
    ("llama-q4", {"context_length": 4096}),
    ("llama-q4", {"context_length": 4096, "forbid_mmap": True}),
    ("llama-q4k", {"context_length": 4096}),
    ("llama-q4-tied", {"context_length": 4096}),
    ("llama-q4-tied", {"context_length": 4096, "forbid_mmap": True}),
    ("llama-tied", {"context_length": 4096}),
    ("llama-wide", {"context_length": 4096}),
    ("llama-experts", {"context_length": 4096}),
    ("qwen2", {"context_length": 8192}),
    ("qwen3", {"context_length": 8192}),
    ("gemma2", {"context_length": 8192}),
    ("gemma2", {"context_length": 8192, "parallel_slots": 3, "flash_attention": OFF}),
    ("gemma3", {"context_length": 8192, "kv_cache_type": Q8_0}),
    (
        "gemma3",
        {"context_length": 16384, "parallel_slots": 4, "unified_kv_cache": True, "micro_batch_size": 256},
    ),
    ("qwen3moe", {"context_length": 4096}),
    ("qwen3moe-q4", {"context_length": 4096, "parallel_slots": 4}),
    ("deepseek2", {"context_length": 4096}),
    ("deepseek2", {"context_length": 4096, "parallel_slots": 4, "kv_cache_type": Q8_0}),
    ("deepseek2", {"context_length": 4096, "flash_attention": OFF}),
    ("mamba", {"context_length": 4096, "parallel_slots": 4}),
    ("mamba2", {"context_length": 4096}),
    ("jamba", {"context_length": 4096, "kv_cache_type": Q8_0}),
    ("falcon-h1", {"context_length": 8192, "parallel_slots": 4}),
    ("granitehybrid", {"context_length": 4096, "micro_batch_size": 1024}),
    ("qwen3next", {"context_length": 4096, "parallel_slots": 4}),
    ("gemma4", {"context_length": 8192, "parallel_slots": 4}),
    ("gemma4-q4", {"context_length": 4096}),
    ("gemma4-q4", {"context_length": 4096, "forbid_mmap": True}),
    ("qwen35", {"context_length": 4096}),
    ("lfm2", {"context_length": 4096}),
]


def predict(files, options):
    return beside_ram(gguf_profile(read_gguf_files(files), options)).ram(0)


def check(predicted, logged):
    assert predicted.weights == pytest.approx(logged.weights, rel=0.01, abs=LOGGED_DIGITS)
    assert predicted.kv_cache == pytest.approx(logged.kv_cache, rel=0.01, abs=LOGGED_DIGITS)
    assert predicted.total - predicted.overhead == pytest.approx(logged.total, rel=0.02)


@pytest.mark.parametrize(("name", "options"), CASES, ids=str)
def test_predicted_and_logged(name, options, written):
    files, options = written(name, MODELS[name]), LlamaCppOptions(**options)
    check(predict(files, options), load(files[0], options))


@pytest.mark.parametrize("name", ["llama", "llama-q4"])
def test_shards(name, written):
    files, options = written(name, MODELS[name], shards=3), LlamaCppOptions(context_length=4096)
    check(predict(files, options), load(files[0], options))


LONG = "x" * 1800


@pytest.mark.parametrize(
    ("name", "prompt"),
    [("small", ""), ("llama", ""), ("llama-q4", ""), ("llama", LONG), ("gemma3", LONG), ("falcon-h1", LONG)],
    ids=["small", "llama", "llama-q4", "llama, long", "gemma3, long", "falcon-h1, long"],
)
def test_the_claim_covers_what_the_process_holds(name, prompt, written):
    files, options = written(name, MODELS[name]), LlamaCppOptions(context_length=2048)
    claimed, held = predict(files, options).total, load(files[0], options, prompt=prompt).resident
    assert held <= claimed <= 1.6 * held
