"""No header, index or config.json, however broken, does worse than be refused."""

import asyncio
import json
import struct

import pytest
from hostile_files import JSON_GROWTH, HostileFile, damaged, memory_bound, misfitting
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors_files import LLAMA, TENSORS, entries, file_bytes, header

from moorage_common.core.errors import ErrorReason, FailedPrecondition
from moorage_common.modelfiles.config_keys import MAX_CONFIG_BYTES
from moorage_common.modelfiles.safetensors import read_safetensors_ranges
from moorage_common.modelfiles.safetensors_index import INDEX_NAME
from moorage_downloader.convert import facts_to_proto

HUGE = 1 << 47
FIXED_BYTES = 3 << 20
"""What reading takes whatever is read: windows of files, the event loop."""

QUANTIZED = {
    "quant_method": "compressed-tensors",
    "format": "pack-quantized",
    "config_groups": {"group_0": {"targets": ["Linear"], "weights": {"num_bits": 4, "type": "int"}}},
}
EVERYTHING = {
    **LLAMA,
    "model_type": "own",
    "num_hidden_layers": 4,
    "head_dim": 8,
    "kv_lora_rank": 16,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "num_local_experts": 8,
    "num_experts_per_tok": [2, 2],
    "sliding_window": 16,
    "use_sliding_window": True,
    "layer_types": ["full_attention", "sliding_attention", "linear_attention", "full_attention"],
    "num_kv_shared_layers": 1,
    "rope_scaling": {"rope_type": "linear", "factor": 2.0, "original_max_position_embeddings": 64},
    "quantization_config": QUANTIZED,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "linear_conv_kernel_dim": 4,
    "mamba_ssm_dtype": "float32",
}
RECURRENT = {
    **LLAMA,
    "model_type": "llama4_text",
    "num_hidden_layers": 8,
    "hybrid_override_pattern": "M-M*M-M*",
    "attn_layer_period": 4,
    "attn_layer_offset": 2,
    "full_attention_interval": 4,
    "attention_chunk_size": 64,
    "no_rope_layers": [1, 1, 1, 0, 1, 1, 1, 0],
    "full_attn_idxs": [3, 7],
    "linear_attn_config": {"full_attn_layers": [4, 8]},
    "block_configs": [{"attention": {"n_heads_in_group": 4, "no_op": False}, "block_type": "attention"}] * 8,
    "attn_config": {"kv_n_heads": 8},
    "mamba_n_heads": 4,
    "mamba_d_head": "auto",
    "mamba_expand": 2,
    "mamba_d_state": 16,
    "mamba_n_groups": 1,
    "mamba_d_conv": 4,
    "conv_L_cache": None,
    "ffn_config": {"ffn_hidden_size": 8, "moe_num_experts": 4, "moe_top_k": 2},
}
MULTIMODAL = {
    "architectures": ["X"],
    "model_type": "x",
    "text_config": EVERYTHING,
    "thinker_config": {"text_config": LLAMA},
    "vision_config": {"model_type": "pixtral", "num_heads": 16},
}
CONFIGS = [LLAMA, EVERYTHING, RECURRENT, MULTIMODAL]
INDEX = {"metadata": {"total_size": 1}, "weight_map": dict.fromkeys(TENSORS, "model.safetensors")}
FILE = file_bytes(TENSORS)
HEADER = FILE[: 8 + struct.unpack("<Q", FILE[:8])[0]]

lenient = settings(deadline=5000, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


def read_or_refuse(*files):
    """Reads a model of these files, a config.json of the test's own if there is none."""
    named = {file.name: file for file in files}
    named.setdefault("config.json", HostileFile("config.json", json.dumps(LLAMA).encode()))

    def limit():
        return FIXED_BYTES + JSON_GROWTH * sum(file.sent for file in named.values())

    with memory_bound(limit):
        facts = error = None
        try:
            facts = asyncio.run(read_safetensors_ranges(named)).facts
        except FailedPrecondition as refusal:
            error = refusal
    if error is not None:
        assert error.reason is ErrorReason.MODEL_FILE_INVALID
        assert len(error.message.encode()) < 1500
        return None
    facts_to_proto(facts).SerializeToString()
    return facts


def weights(data, size=None):
    return HostileFile("model.safetensors", data, size)


def dumped(content):
    return json.dumps(content).encode()


def test_what_is_damaged_below_is_right_to_begin_with():
    for config in CONFIGS:
        assert read_or_refuse(HostileFile("config.json", dumped(config)), weights(FILE))
    assert read_or_refuse(HostileFile(INDEX_NAME, dumped(INDEX)), weights(FILE))


@lenient
@given(st.integers(0, 1 << 64).map(lambda n: struct.pack("<Q", n & (2**64 - 1))), st.binary(max_size=200))
def test_random_bytes(length, tail):
    read_or_refuse(weights(length + tail))


@lenient
@given(st.integers(0, 300), st.text("{}[]:,\"' \\u0123eE+-.ntf", max_size=120), st.sampled_from([None, HUGE]))
def test_random_json(length, text, size):
    read_or_refuse(weights(struct.pack("<Q", length) + text.encode(), size))


@lenient
@given(damaged(HEADER), st.sampled_from([None, len(FILE), HUGE]))
def test_damaged_headers(data, size):
    if size is not None:
        size = max(size, len(data))
    read_or_refuse(weights(data, size))


@lenient
@given(misfitting(entries(TENSORS)[0]), st.sampled_from([0, entries(TENSORS)[1], HUGE]))
def test_headers_that_say_something_else(content, size):
    start = header(content)
    read_or_refuse(weights(start, len(start) + size))


@lenient
@given(damaged(dumped(INDEX)))
def test_damaged_indexes(data):
    read_or_refuse(HostileFile(INDEX_NAME, data), weights(FILE))


@lenient
@given(misfitting(INDEX))
def test_indexes_that_say_something_else(content):
    read_or_refuse(HostileFile(INDEX_NAME, dumped(content)), weights(FILE))


@lenient
@given(st.sampled_from(CONFIGS).flatmap(lambda config: damaged(dumped(config))))
def test_damaged_configs(data):
    read_or_refuse(HostileFile("config.json", data), weights(FILE))


@settings(lenient, max_examples=400)
@given(st.sampled_from(CONFIGS).flatmap(misfitting))
def test_configs_that_say_something_else(content):
    read_or_refuse(HostileFile("config.json", dumped(content)), weights(FILE))


@lenient
@given(
    misfitting({"producer": {"name": "modelopt"}, "quantization": {"quant_algo": "NVFP4"}}),
    misfitting({"max_seq_length": 512}),
)
def test_files_beside_that_say_something_else(modelopt, sentences):
    read_or_refuse(
        HostileFile("hf_quant_config.json", dumped(modelopt)),
        HostileFile("sentence_bert_config.json", dumped(sentences)),
        weights(FILE),
    )


@pytest.mark.parametrize("filler", [b"[],", b"{},", b"0.5,", b'"a",', b"[[[[]]]],", b'{"a":{}},'])
def test_a_config_takes_no_more_than_its_text_could_hold(filler):
    data = b'{"a": [' + filler * ((MAX_CONFIG_BYTES - 20) // len(filler)) + b"0]}"
    assert read_or_refuse(HostileFile("config.json", data), weights(FILE)) is None


@pytest.mark.parametrize("filler", [b"[],", b"{},", b"0.5,"])
def test_nor_does_a_header(filler):
    content = b'{"a": [' + filler * ((8 << 20) // len(filler)) + b"0]}"
    assert read_or_refuse(weights(header(content))) is None


def test_claims_cost_nothing():
    """A header of the largest size that is allowed, none of which is there."""
    for start in (b"{", b'{"', b'{"a": "', b'{"a": [', b" "):
        reader = weights(struct.pack("<Q", 100_000_000) + start, HUGE)
        assert read_or_refuse(reader) is None
        assert reader.sent < 6 << 20


def test_tensors_are_counted_and_not_kept():
    name = "model.layers.{}.mlp.experts.{}.down_proj.weight"
    found, size = entries({name.format(*divmod(n, 500)): ("BF16", [7168, 2048]) for n in range(16_000)})
    start = header(found)
    del found
    readers = (HostileFile("config.json", dumped(LLAMA)), weights(start, len(start) + size))
    with memory_bound(lambda: 5 << 20):
        model = asyncio.run(read_safetensors_ranges({reader.name: reader for reader in readers}))
    assert model.facts.expert_bytes == size == 16_000 * 7168 * 2048 * 2
