"""What config.json says of models: written as those of published models are, as far as it matters here."""

import pytest
from safetensors_files import LLAMA

from moorage_common.core.errors import ErrorReason, FailedPrecondition
from moorage_common.core.placement import ModelCategory
from moorage_common.modelfiles.config_facts import safetensors_facts
from moorage_common.modelfiles.config_keys import ConfigKeys
from moorage_common.modelfiles.config_quantization import read_quantization
from moorage_common.modelfiles.safetensors_header import Tensor
from moorage_common.modelfiles.safetensors_weights import WeightSums


def read(config, *, modelopt=None, sentences=None, files=("config.json",), tensors=()):
    keys = ConfigKeys("config.json", config)
    quantization = read_quantization(keys, ConfigKeys("hf_quant_config.json", modelopt) if modelopt else None)
    weights = WeightSums(quantization.bits)
    for tensor in tensors:
        weights.add("model.safetensors", tensor)
    return safetensors_facts(
        keys,
        quantization=quantization,
        sentences=ConfigKeys("sentence_bert_config.json", sentences) if sentences else None,
        weights=weights,
        files=files,
    )


def facts_of(config, *names, **options):
    facts = read(config, **options)
    return tuple(getattr(facts, name) for name in names)


HEADS = ("block_count", "hidden_size", "head_count", "head_count_kv", "head_size")
WINDOWS = ("attention_block_count", "sliding_window_block_count", "sliding_window")


def base(**changes):
    return {**LLAMA, **changes}


def without(config, *names):
    return {name: value for name, value in config.items() if name not in names}


def test_a_plain_model():
    facts = read(LLAMA)
    assert (facts.architecture, facts.model_type, facts.dtype) == ("LlamaForCausalLM", "llama", "bfloat16")
    assert (facts.block_count, facts.hidden_size, facts.feed_forward_length) == (2, 64, 128)
    assert (facts.head_count, facts.head_count_kv, facts.head_size) == (8, 2, 8)
    assert (facts.vocabulary_size, facts.context_length) == (320, 2048)
    assert (facts.attention_block_count, facts.sliding_window, facts.expert_count) == (2, 0, 0)
    assert (facts.quantization, facts.quantization_bits, facts.vision_head_count) == ("", 0, 0)
    assert facts.category is ModelCategory.LLM


GPT2 = {
    "model_type": "gpt2",
    "n_embd": 768,
    "n_head": 12,
    "n_layer": 12,
    "n_positions": 1024,
    "vocab_size": 50257,
}
FALCON = {"model_type": "falcon", "hidden_size": 4544, "num_attention_heads": 71, "num_hidden_layers": 32}
DBRX = {
    "model_type": "dbrx", "d_model": 6144, "n_heads": 48, "n_layers": 40, "max_seq_len": 32768,
    "attn_config": {"kv_n_heads": 8}, "ffn_config": {"ffn_hidden_size": 10752, "moe_num_experts": 16, "moe_top_k": 4},
}  # fmt: skip
CHATGLM = {
    "model_type": "chatglm", "hidden_size": 4096, "num_attention_heads": 32, "num_layers": 28, "seq_length": 32768,
    "multi_query_attention": True, "multi_query_group_num": 2, "ffn_hidden_size": 13696, "padded_vocab_size": 65024,
}  # fmt: skip
NAS = base(
    model_type="nemotron-nas",
    num_key_value_heads=None,
    block_configs=[
        {"attention": {"n_heads_in_group": None, "no_op": True, "replace_with_linear": False}},
        {"attention": {"n_heads_in_group": 4, "no_op": False, "replace_with_linear": False}},
    ],
)
OPENELM = base(num_attention_heads=[8, 12, 16], num_key_value_heads=[2, 3, 4], head_dim=64)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (base(head_dim=16), (2, 64, 8, 2, 16)),
        (base(head_dim=None), (2, 64, 8, 2, 8)),
        (without(LLAMA, "num_key_value_heads"), (2, 64, 8, 8, 8)),
        (base(num_key_value_heads=None), (2, 64, 8, 8, 8)),
        (without(base(model_type="mistral"), "num_key_value_heads"), (2, 64, 8, 8, 8)),
        (without(base(model_type="qwen3"), "num_key_value_heads"), (2, 64, 8, 32, 128)),
        (GPT2, (12, 768, 12, 12, 64)),
        (FALCON, (32, 4544, 71, 1, 64)),
        ({**FALCON, "multi_query": False}, (32, 4544, 71, 71, 64)),
        ({**FALCON, "new_decoder_architecture": True, "num_kv_heads": 8}, (32, 4544, 71, 8, 64)),
        (DBRX, (40, 6144, 48, 8, 128)),
        (CHATGLM, (28, 4096, 32, 2, 128)),
        (NAS, (2, 64, 8, 2, 8)),
        (OPENELM, (2, 64, 16, 4, 64)),
    ],
)
def test_heads_under_all_their_names(config, expected):
    assert facts_of(config, *HEADS) == expected


DEEPSEEK = {
    "architectures": ["DeepseekV3ForCausalLM"], "model_type": "deepseek_v3", "hidden_size": 7168,
    "num_hidden_layers": 61, "num_attention_heads": 128, "num_key_value_heads": 128, "kv_lora_rank": 512,
    "qk_rope_head_dim": 64, "qk_nope_head_dim": 128, "v_head_dim": 128, "n_routed_experts": 256,
    "num_experts_per_tok": 8, "intermediate_size": 18432, "moe_intermediate_size": 2048, "vocab_size": 129280,
    "max_position_embeddings": 163840,
    "rope_scaling": {"type": "yarn", "factor": 40, "original_max_position_embeddings": 4096},
    "quantization_config": {"quant_method": "fp8", "fmt": "e4m3", "weight_block_size": [128, 128]},
}  # fmt: skip


def test_latent_attention():
    facts = read(DEEPSEEK)
    assert (facts.latent_values_per_token, facts.head_size, facts.head_count) == (576, 192, 128)
    assert (facts.expert_count, facts.expert_used_count, facts.context_length) == (256, 8, 163840)
    assert (facts.quantization, facts.quantization_bits) == ("fp8", 8)
    assert read({**DEEPSEEK, "kv_lora_rank": None, "head_dim": 128}).latent_values_per_token == 0
    assert read({**DEEPSEEK, "model_type": "minicpm3", "head_dim": 96}).latent_values_per_token == 0


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (base(num_experts=128, num_experts_per_tok=8), (128, 8)),
        (base(num_local_experts=8, num_experts_per_tok=2), (8, 2)),
        (base(num_local_experts=32, experts_per_token=4), (32, 4)),
        (base(moe_num_experts=[64, 64], moe_k=6), (64, 6)),
        (base(num_experts=16, moe_topk=[2, 2]), (16, 2)),
        (base(num_experts=1, num_experts_per_tok=1), (0, 0)),
        (base(n_routed_experts=8), (8, 8)),
        (base(n_routed_experts=None), (0, 0)),
        (DBRX, (16, 4)),
    ],
)
def test_experts_under_all_their_names(config, expected):
    assert facts_of(config, "expert_count", "expert_used_count") == expected


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (DEEPSEEK, 2048),
        (base(num_local_experts=8, intermediate_size=14336), 14336),
        (DBRX, 10752),
        (LLAMA, 0),
    ],
)
def test_width_of_an_expert(config, expected):
    assert read(config).expert_feed_forward_length == expected


def test_blocks_with_experts_are_counted_by_their_tensors():
    names = [
        f"model.layers.{block}.mlp.experts.{expert}.up.weight" for block in (1, 2, 3, 9) for expert in (0, 1)
    ]
    names += [
        "mtp.layers.0.mlp.experts.0.up.weight",
        f"model.layers.{'9' * 5000}.mlp.experts.0.w",
        "x.experts.w",
    ]
    tensors = [Tensor(name, "BF16", [1], 1, 2) for name in names]
    config = base(num_hidden_layers=4, n_routed_experts=2)
    assert read(config, tensors=tensors).expert_block_count == 3
    fused = [
        Tensor(f"model.layers.{n}.block_sparse_moe.input_linear.weight", "BF16", [1], 1, 2) for n in (0, 1)
    ]
    assert read(config, tensors=fused).expert_block_count == 2


def kinds(*names):
    return base(num_hidden_layers=len(names), layer_types=list(names), sliding_window=128)


F, S, L, M = "full_attention", "sliding_attention", "linear_attention", "mamba"


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (base(sliding_window=512), (2, 2, 512)),
        (base(sliding_window=None), (2, 0, 0)),
        (base(model_type="qwen2", sliding_window=512), (2, 0, 0)),
        (base(model_type="qwen2", sliding_window=512, use_sliding_window=False), (2, 0, 0)),
        (
            base(model_type="qwen2", sliding_window=512, use_sliding_window=True, max_window_layers=1),
            (2, 1, 512),
        ),
        (without(base(model_type="mistral"), "sliding_window"), (2, 2, 4096)),
        (base(model_type="mistral", sliding_window=None), (2, 0, 0)),
        (kinds(F, S, F, S), (4, 2, 128)),
        (kinds(L, L, L, F), (1, 0, 0)),
        (kinds("conv", "conv", F), (1, 0, 0)),
        (kinds("chunked_attention", F), (2, 1, 128)),
        (kinds("something_new", F), (2, 0, 0)),
        (kinds(S, S, F, F) | {"num_hidden_layers": 3}, (3, 2, 128)),
        (kinds(S, S, F) | {"num_kv_shared_layers": 2}, (1, 1, 128)),
        (base(layers_block_type=["mamba", "attention"]), (1, 0, 0)),
        (base(layers_block_type=["mamba", "hybrid"]), (1, 0, 0)),
        (
            without(base(model_type="nemotron_h", hybrid_override_pattern="M-M*E"), "num_hidden_layers"),
            (1, 0, 0),
        ),
        (base(attn_type_list=[0, 1]), (1, 0, 0)),
        (base(num_hidden_layers=3, hybrid_layer_pattern=[0, 1, 1], sliding_window=128), (3, 2, 128)),
        (base(num_hidden_layers=5, full_attn_idxs=[1, 3]), (2, 0, 0)),
        (base(num_hidden_layers=5, attn_layer_indices=[4]), (1, 0, 0)),
        (
            base(num_hidden_layers=4, linear_attn_config={"full_attn_layers": [4], "kda_layers": [1, 2, 3]}),
            (1, 0, 0),
        ),
        (base(num_hidden_layers=32, attn_layer_period=8, attn_layer_offset=4), (4, 0, 0)),
        (base(model_type="qwen3_next", num_hidden_layers=48), (12, 0, 0)),
        (base(num_hidden_layers=6, full_attention_interval=3), (2, 0, 0)),
        (base(model_type="gemma3_text", num_hidden_layers=26, sliding_window=512), (26, 22, 512)),
        (base(num_hidden_layers=12, sliding_window_pattern=3, sliding_window=64), (12, 8, 64)),
        (base(num_hidden_layers=8, sliding_window_pattern="LLLG", sliding_window=64), (8, 6, 64)),
        (base(model_type="gemma2", num_hidden_layers=26), (26, 13, 4096)),
        (base(model_type="llama4_text", num_hidden_layers=48, attention_chunk_size=8192), (48, 36, 8192)),
        (base(model_type="llama4_text", no_rope_layers=[1, 0], attention_chunk_size=8192), (2, 1, 8192)),
        (base(model_type="llama4_text", attention_chunk_size=None), (2, 0, 0)),
        (NAS, (1, 0, 0)),
        (without(base(model_type="mamba"), "num_attention_heads"), (0, 0, 0)),
        (base(model_type="bert"), (0, 0, 0)),
        (base(model_type="falcon_h1"), (2, 0, 0)),
    ],
)
def test_what_layers_keep(config, expected):
    assert facts_of(config, *WINDOWS) == expected


QWEN3_NEXT = base(
    model_type="qwen3_next", num_hidden_layers=48, linear_num_key_heads=16, linear_num_value_heads=32,
    linear_key_head_dim=128, linear_value_head_dim=128, linear_conv_kernel_dim=4,
)  # fmt: skip
NEMOTRON_H = base(
    model_type="nemotron_h", num_hidden_layers=8, hybrid_override_pattern="M-M-M*-E", mamba_num_heads=128,
    mamba_head_dim=64, ssm_state_size=128, n_groups=8, conv_kernel=4,
)  # fmt: skip
JAMBA = base(
    model_type="jamba", num_hidden_layers=32, attn_layer_period=8, attn_layer_offset=4, hidden_size=4096,
    mamba_expand=2, mamba_d_state=16, mamba_d_conv=4,
)  # fmt: skip
BAMBA = base(
    model_type="bamba", num_hidden_layers=32, attn_layer_indices=[9, 18, 27], hidden_size=4096, mamba_expand=2,
    mamba_n_heads=128, mamba_d_head="auto", mamba_d_state=128, mamba_n_groups=1, mamba_d_conv=4,
)  # fmt: skip
ZAMBA2 = base(
    layers_block_type=["mamba", "hybrid"], n_mamba_heads=64, mamba_headdim=64, mamba_d_state=64, mamba_ngroups=1,
    mamba_d_conv=4, head_dim=160,
)  # fmt: skip
KIMI = base(
    num_hidden_layers=4,
    linear_attn_config={
        "full_attn_layers": [4], "kda_layers": [1, 2, 3], "num_heads": 32, "head_dim": 128, "short_conv_kernel_size": 4
    },
)  # fmt: skip
MAMBA = {
    "model_type": "mamba", "hidden_size": 768, "intermediate_size": 1536, "num_hidden_layers": 24, "state_size": 16,
    "conv_kernel": 4, "vocab_size": 50280,
}  # fmt: skip
MAMBA2 = {
    "model_type": "mamba2", "hidden_size": 4096, "num_hidden_layers": 64, "num_heads": 128, "head_dim": 64,
    "state_size": 128, "n_groups": 8, "conv_kernel": 4, "vocab_size": 32768,
}  # fmt: skip


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (LLAMA, (0, 0)),
        (QWEN3_NEXT, (36, (3 * 8192 + 32 * 128 * 128) * 2)),
        ({**QWEN3_NEXT, "mamba_ssm_dtype": "float32"}, (36, 3 * 8192 * 2 + 32 * 128 * 128 * 4)),
        (NEMOTRON_H, (3, 3 * (8192 + 2 * 8 * 128) * 2 + 8192 * 128 * 4)),
        ({**NEMOTRON_H, "mamba_ssm_cache_dtype": "bfloat16"}, (3, (3 * (8192 + 2048) + 8192 * 128) * 2)),
        (JAMBA, (28, (3 * 8192 + 8192 * 16) * 2)),
        (BAMBA, (29, (3 * (8192 + 256) + 8192 * 128) * 2)),
        (ZAMBA2, (2, (3 * (4096 + 128) + 4096 * 64) * 2)),
        (KIMI, (3, 3 * 3 * 4096 * 2 + 32 * 128 * 128 * 4)),
        (MAMBA, (24, (3 * 1536 + 1536 * 16) * 2)),
        (MAMBA2, (64, (3 * (8192 + 2 * 8 * 128) + 8192 * 128) * 2)),
        (kinds("conv", "conv", F) | {"conv_dim": 2048, "conv_L_cache": 3}, (2, 2 * 2048 * 2)),
        (kinds(L, F), (1, 0)),
        (base(model_type="falcon_h1"), (2, 0)),
        (base(model_type="bert"), (0, 0)),
        (base(model_type="gemma3n_text", num_hidden_layers=35, num_kv_shared_layers=15), (0, 0)),
        (NAS, (0, 0)),
    ],
)
def test_recurrent_layers_and_their_states(config, expected):
    assert facts_of(config, "recurrent_block_count", "recurrent_state_bytes") == expected


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (without(LLAMA, "max_position_embeddings"), 2048),
        (without(base(model_type="llamas"), "max_position_embeddings"), 2048),
        (base(n_positions=512), 512),
        (base(model_max_length=131072), 131072),
        ({**GPT2}, 1024),
        (DBRX, 32768),
        (CHATGLM, 32768),
        (base(rope_scaling={"type": "linear", "factor": 4.0}), 8192),
        (base(rope_scaling={"rope_type": "dynamic", "factor": 2}), 4096),
        (base(rope_scaling={"rope_type": "llama3", "factor": 8.0}), 2048),
        (base(rope_scaling={"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 512}), 2048),
        (base(rope_scaling={"type": "mrope", "mrope_section": [16, 24, 24]}), 2048),
        (base(rope_scaling={"type": "linear", "factor": None}), 2048),
        (base(rope_parameters={"rope_type": "linear", "factor": 4.0}), 8192),
        (
            base(rope_parameters={F: {"rope_type": "linear", "factor": 8.0}, S: {"rope_type": "default"}}),
            16384,
        ),
        (base(model_type="gemma3_text", rope_scaling={"rope_type": "linear", "factor": 8.0}), 2048),
        (
            base(
                rope_scaling={"type": "longrope", "short_factor": [1.0], "long_factor": [1.0]},
                original_max_position_embeddings=512,
            ),
            512,
        ),
        (base(rope_scaling={"type": "su", "short_factor": [], "long_factor": []}), 2048),
    ],
)
def test_context_length_is_what_vllm_serves_when_nobody_says(config, expected):
    assert read(config).context_length == expected


def test_sentence_transformers_bound_their_texts():
    assert read(base(model_type="bert"), sentences={"max_seq_length": 256}).context_length == 256
    assert read(base(model_type="bert"), sentences={"max_seq_length": None}).context_length == 2048


GPTQ = {"quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": True}
COMPRESSED = {
    "quant_method": "compressed-tensors",
    "format": "pack-quantized",
    "config_groups": {"group_0": {"targets": ["Linear"], "weights": {"num_bits": 4, "type": "int"}}},
}
NVFP4 = {
    "quant_method": "modelopt",
    "quant_algo": "NVFP4",
    "config_groups": {"group_0": {"weights": {"num_bits": 4}}},
}


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ({"quant_method": "awq", "bits": 4, "zero_point": True, "version": "gemm"}, ("awq", 4)),
        ({"quant_method": "awq", "w_bit": 8}, ("awq", 8)),
        (GPTQ, ("gptq", 4)),
        ({**GPTQ, "bits": 3}, ("gptq", 3)),
        ({"quant_method": "fp8", "activation_scheme": "dynamic"}, ("fp8", 8)),
        ({"quant_method": "fbgemm_fp8"}, ("fbgemm_fp8", 8)),
        (COMPRESSED, ("compressed-tensors", 4)),
        ({"quant_method": "compressed_tensors", "format": "nvfp4-pack-quantized"}, ("compressed-tensors", 4)),
        ({"quant_method": "compressed-tensors", "format": "float-quantized"}, ("compressed-tensors", 8)),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True, "load_in_8bit": False}, ("bitsandbytes", 4)),
        ({"load_in_8bit": True}, ("bitsandbytes", 8)),
        ({"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn"]}, ("mxfp4", 4)),
        (NVFP4, ("modelopt_fp4", 4)),
        ({"quant_method": "modelopt", "quant_algo": "FP8"}, ("modelopt", 8)),
        ({"quant_method": "modelopt", "quant_algo": "MXFP8"}, ("modelopt_mxfp8", 8)),
        ({"producer": {"name": "modelopt"}, "quantization": {"quant_algo": "W4A8_AWQ"}}, ("modelopt", 4)),
        ({"quant_method": "bitnet"}, ("bitnet", 2)),
        ({"quant_method": "auto-round", "bits": 2}, ("inc", 2)),
        ({}, ("", 0)),
        (None, ("", 0)),
        ({"config": "unknown"}, ("", 0)),
    ],
)
def test_quantization(section, expected):
    config = base(quantization_config=section)
    assert facts_of(config, "quantization", "quantization_bits") == expected


def compressed(**weights):
    return {**COMPRESSED, "config_groups": {"group_0": {"weights": {"num_bits": 4, **weights}}}}


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        (GPTQ, 128),
        ({**GPTQ, "group_size": -1}, 0),
        ({"quant_method": "awq", "bits": 4}, 0),
        (DEEPSEEK["quantization_config"], 128),
        ({"quant_method": "fp8", "weight_block_size": None}, 0),
        (compressed(group_size=32), 32),
        (compressed(group_size=None), 0),
        (compressed(group_size=-1, block_structure=[64, 128]), 128),
        (NVFP4, 16),
        ({"quant_method": "compressed-tensors", "format": "nvfp4-pack-quantized"}, 16),
        ({"quant_method": "mxfp4"}, 32),
        (None, 0),
    ],
)
def test_groups_of_quantised_weights(section, expected):
    assert read(base(quantization_config=section)).quantization_group_size == expected


def test_quantization_is_looked_for_everywhere():
    wanted = ("quantization", "quantization_bits")
    assert facts_of(base(compression_config=COMPRESSED), *wanted) == ("compressed-tensors", 4)
    nested = {"architectures": ["X"], "text_config": base(quantization_config=GPTQ)}
    assert facts_of(nested, *wanted) == ("gptq", 4)
    legacy = {"producer": {"name": "modelopt"}, "quantization": {"quant_algo": "NVFP4", "group_size": 16}}
    assert facts_of(LLAMA, *wanted, modelopt=legacy) == ("modelopt_fp4", 4)


QWEN_VL = base(
    architectures=["Qwen2_5_VLForConditionalGeneration"],
    model_type="qwen2_5_vl",
    vision_config={"depth": 32, "num_heads": 16, "hidden_size": 1280},
)
GEMMA3 = {
    "architectures": ["Gemma3ForConditionalGeneration"],
    "model_type": "gemma3",
    "text_config": {
        "model_type": "gemma3_text", "hidden_size": 2560, "intermediate_size": 10240, "num_hidden_layers": 34,
        "rope_scaling": {"factor": 8.0, "rope_type": "linear"}, "sliding_window": 1024,
    },
    "torch_dtype": "bfloat16",
    "vision_config": {"model_type": "siglip_vision_model", "num_attention_heads": 16, "num_hidden_layers": 27},
}  # fmt: skip
PIXTRAL = {
    "architectures": ["LlavaForConditionalGeneration"],
    "model_type": "llava",
    "text_config": {
        "model_type": "mistral", "hidden_size": 5120, "head_dim": 128, "num_hidden_layers": 40,
        "intermediate_size": 14336, "max_position_embeddings": 1024000, "sliding_window": None, "vocab_size": 131072,
    },
    "vision_config": {"model_type": "pixtral", "head_dim": 64, "image_size": 1024},
}  # fmt: skip
LLAVA = {
    "architectures": ["LlavaForConditionalGeneration"],
    "model_type": "llava",
    "text_config": {"model_type": "llama", "max_position_embeddings": 4096, "torch_dtype": "float16"},
    "vision_config": {"model_type": "clip_vision_model", "num_attention_heads": 16},
}
OMNI = {
    "architectures": ["Qwen2_5OmniModel"],
    "model_type": "qwen2_5_omni",
    "thinker_config": {
        "model_type": "qwen2_5_omni_thinker",
        "text_config": base(model_type="qwen2_5_omni_text"),
        "vision_config": {"model_type": "qwen2_5_omni_vision_encoder"},
    },
}


@pytest.mark.parametrize(
    ("config", "heads", "vision"),
    [
        (QWEN_VL, (2, 64, 8, 2, 8), 16),
        (GEMMA3, (34, 2560, 8, 4, 256), 16),
        (PIXTRAL, (40, 5120, 32, 8, 128), 16),
        (LLAVA, (32, 4096, 32, 32, 128), 16),
        (OMNI, (2, 64, 8, 2, 8), 16),
        ({"llm_config": LLAMA, "vision_config": {"num_attention_heads": 25}}, (2, 64, 8, 2, 8), 25),
        (
            {"language_config": LLAMA, "vision_config": {"model_type": "vision", "width": 1152}},
            (2, 64, 8, 2, 8),
            0,
        ),
        (base(visual={"heads": 16}), (2, 64, 8, 2, 8), 16),
        (
            base(vision_config={"attention_heads": 12, "model_type": "mllama_vision_model"}),
            (2, 64, 8, 2, 8),
            12,
        ),
        (base(vision_config={"num_heads": [4, 8, 32]}), (2, 64, 8, 2, 8), 32),
    ],
)
def test_multimodal_models_are_read_as_their_class_completes_them(config, heads, vision):
    assert facts_of(config, *HEADS) == heads
    assert read(config).vision_head_count == vision


def test_what_a_class_has_is_filled_in_where_nothing_is_said():
    facts = read(GEMMA3)
    assert (facts.vocabulary_size, facts.context_length) == (262208, 131072)
    assert (facts.attention_block_count, facts.sliding_window_block_count, facts.sliding_window) == (
        34,
        29,
        1024,
    )
    assert facts_of(PIXTRAL, *WINDOWS) == (40, 0, 0)
    assert read(LLAVA).dtype == "float16"


@pytest.mark.parametrize(
    ("architecture", "files", "expected"),
    [
        ("LlamaForCausalLM", (), ModelCategory.LLM),
        ("Qwen2VLForConditionalGeneration", (), ModelCategory.LLM),
        ("GPT2LMHeadModel", (), ModelCategory.LLM),
        ("InternVLChatModel", (), ModelCategory.LLM),
        ("ChatGLMModel", (), ModelCategory.LLM),
        ("SomethingNew", (), ModelCategory.LLM),
        ("XLMRobertaModel", (), ModelCategory.EMBEDDING),
        ("BertForMaskedLM", (), ModelCategory.EMBEDDING),
        ("Qwen2Model", (), ModelCategory.EMBEDDING),
        ("JinaEmbeddingsV5Model", (), ModelCategory.EMBEDDING),
        ("ColPaliForRetrieval", (), ModelCategory.EMBEDDING),
        ("XLMRobertaForSequenceClassification", (), ModelCategory.RERANKER),
        ("BertForTokenClassification", (), ModelCategory.RERANKER),
        ("Qwen2ForRewardModel", (), ModelCategory.RERANKER),
        ("Qwen3ForCausalLM", ("modules.json", "1_Pooling/config.json"), ModelCategory.EMBEDDING),
        ("Qwen3ForCausalLM", ("modules.json",), ModelCategory.LLM),
        ("BertForSequenceClassification", ("modules.json", "1_Pooling/config.json"), ModelCategory.RERANKER),
    ],
)
def test_categories(architecture, files, expected):
    assert read(base(architectures=[architecture]), files=files).category is expected


def test_number_format_comes_from_the_weights_where_nothing_is_said():
    silent = without(LLAMA, "torch_dtype")
    weights = [
        Tensor("a", "BF16", [8], 8, 16),
        Tensor("b", "F32", [2], 2, 8),
        Tensor("c", "I32", [99], 99, 396),
    ]
    assert read(silent, tensors=weights).dtype == "bfloat16"
    assert read(silent).dtype == "float32"
    assert read(base(torch_dtype="torch.float16")).dtype == "float16"
    assert read(base(dtype="bfloat16", torch_dtype=None)).dtype == "bfloat16"


def test_widths_stay_within_what_is_stored():
    wide = without(base(model_type="own", hidden_size=2**31 - 1), "intermediate_size")
    assert read(wide).feed_forward_length == 2**31 - 1
    assert read({**wide, "ffn_config": {"moe_num_experts": 2}}).feed_forward_length == 2**31 - 1


def test_vocabulary_comes_from_the_embedding_where_nothing_is_said():
    config = without(base(model_type="own"), "vocab_size")
    assert (
        read(config, tensors=[Tensor("model.embed_tokens.weight", "BF16", [99, 64], 1, 2)]).vocabulary_size
        == 99
    )
    assert read(config).vocabulary_size == 0


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({}, "it gives no num_hidden_layers nor n_layer"),
        (
            without(base(model_type="own"), "num_attention_heads"),
            "it gives no num_attention_heads nor n_head",
        ),
        ({"text_config": {"model_type": "own", "n_layers": 1}}, "it gives no text_config.hidden_size nor"),
        (base(num_hidden_layers=0), "it gives 0 layers; 1 to 1,024 are believed"),
        (base(num_hidden_layers=10**6), "it gives 1,000,000 layers"),
        (base(num_attention_heads=0), "it gives 0 attention heads, 2 key/value heads of 0 values"),
        (base(num_attention_heads=100), "it gives 100 attention heads, 2 key/value heads of 0 values"),
        (base(num_key_value_heads=-1), "num_key_value_heads is -1"),
        (base(hidden_size="64"), "hidden_size is '64'"),
        (base(hidden_size=1e9), "hidden_size is 1000000000.0"),
        (base(hidden_size=True), "hidden_size is True"),
        (base(vocab_size=2**31), "vocab_size is 2147483648"),
        (base(num_attention_heads=[8, "x"]), "num_attention_heads is 'x'"),
        (base(layer_types=["full_attention"]), "it lists 1 layers of 2"),
        (base(layer_types=7), "layer_types is 7"),
        (base(layer_types=[{}, []]), "layer_types lists something else than layers"),
        (base(layer_types=["x"] * 5000), "layer_types is ['x', "),
        (base(full_attn_idxs=["0"]), "full_attn_idxs is '0'"),
        (base(rope_scaling={"type": "linear", "factor": 1e300}), "rope_scaling.factor is 1e+300"),
        (base(rope_scaling={"type": "linear", "factor": float("nan")}), "rope_scaling.factor is nan"),
        (base(rope_scaling={"type": "linear", "factor": 2**31 - 1}), "it stretches 2,048 positions by"),
        (base(rope_scaling={"type": "linear", "factor": -1}), "rope_scaling.factor is -1"),
        (
            base(kv_lora_rank=2**31 - 1, qk_rope_head_dim=1),
            "2,147,483,648 values of a latent vector are more than",
        ),
        (
            {**DEEPSEEK, "qk_nope_head_dim": 2**31 - 1},
            "2,147,483,711 values of a head are more than is believed",
        ),
        (
            {**QWEN3_NEXT, "linear_key_head_dim": 2**31 - 1},
            "bytes of a layer's state are more than is believed",
        ),
        (base(quantization_config={"quant_method": "gptq", "bits": "4"}), "quantization_config.bits is '4'"),
        (base(vision_config={"num_heads": {}}), "vision_config.num_heads is {}"),
    ],
)
def test_what_cannot_be_is_named(config, said):
    with pytest.raises(FailedPrecondition) as caught:
        read(config)
    assert caught.value.reason is ErrorReason.MODEL_FILE_INVALID
    assert said in caught.value.message
    assert caught.value.metadata == {"file": "config.json"}
