"""What config.json leaves out because the model's class has it: by ``model_type``, as transformers 5.19 has them.

Parts of multimodal models are the usual case: their ``text_config`` is often written without what equals the
class's own values.
"""

from collections.abc import Mapping

_KEYS = (
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "num_hidden_layers",
    "hidden_size",
    "intermediate_size",
    "vocab_size",
    "max_position_embeddings",
)

# 0: the class derives it from the others, as is done here where nothing is given.
# fmt: off
_TEXT: dict[str, tuple[int, int, int, int, int, int, int, int]] = {
    "aria_text": (32, 0, 0, 32, 4096, 4096, 32000, 2048),
    "cohere": (64, 0, 0, 40, 8192, 22528, 256000, 8192),
    "cohere2": (64, 0, 0, 40, 8192, 22528, 256000, 8192),
    "ernie4_5_vl_moe_text": (20, 4, 0, 28, 2560, 12288, 103424, 131072),
    "exaone4": (32, 32, 0, 32, 4096, 16384, 102400, 2048),
    "gemma": (16, 16, 256, 28, 3072, 24576, 256000, 8192),
    "gemma2": (8, 4, 256, 26, 2304, 9216, 256000, 8192),
    "gemma3_text": (8, 4, 256, 26, 2304, 9216, 262208, 131072),
    "gemma3n_text": (8, 2, 256, 35, 2048, 16384, 262400, 32768),
    "gemma4_text": (8, 4, 256, 30, 2304, 9216, 262144, 131072),
    "glm4": (32, 2, 128, 40, 4096, 13696, 151552, 131072),
    "glm4_moe": (96, 8, 0, 46, 4096, 10944, 151552, 131072),
    "glm4v_moe_text": (96, 8, 0, 46, 4096, 10944, 151424, 65536),
    "glm4v_text": (32, 2, 0, 40, 4096, 13696, 151552, 32768),
    "glm_ocr_text": (16, 8, 0, 16, 1024, 4096, 59392, 131072),
    "gpt_oss": (64, 8, 64, 36, 2880, 2880, 201088, 131072),
    "granite": (32, 0, 0, 32, 4096, 11008, 32000, 2048),
    "hunyuan_vl_text": (32, 0, 0, 32, 4096, 11008, 290943, 2048),
    "hyperclovax": (32, 0, 0, 32, 4096, 11008, 32000, 2048),
    "lfm2": (32, 8, 0, 32, 2560, 12288, 65536, 128000),
    "llama": (32, 0, 0, 32, 4096, 11008, 32000, 2048),
    "llama4_text": (40, 8, 128, 48, 5120, 8192, 202048, 131072),
    "ministral3": (32, 8, 128, 34, 4096, 14336, 131072, 262144),
    "mistral": (32, 8, 0, 32, 4096, 14336, 32000, 131072),
    "mixtral": (32, 8, 0, 32, 4096, 14336, 32000, 131072),
    "mllama_text_model": (32, 8, 0, 40, 4096, 14336, 128256, 131072),
    "olmo3": (32, 0, 0, 32, 4096, 11008, 50304, 2048),
    "opt": (12, 0, 0, 12, 768, 3072, 50272, 2048),
    "paddleocr_vl_text": (16, 2, 128, 18, 1024, 3072, 103424, 131072),
    "persimmon": (64, 0, 0, 36, 4096, 16384, 262144, 16384),
    "phi": (32, 0, 0, 24, 2048, 8192, 51200, 2048),
    "phi3": (32, 0, 0, 32, 3072, 8192, 32064, 4096),
    "qwen2": (32, 32, 0, 32, 4096, 22016, 151936, 32768),
    "qwen2_5_omni_text": (28, 4, 0, 28, 3584, 18944, 152064, 32768),
    "qwen2_5_vl_text": (64, 8, 0, 80, 8192, 29568, 152064, 32768),
    "qwen2_moe": (16, 16, 0, 24, 2048, 5632, 151936, 32768),
    "qwen2_vl_text": (64, 8, 0, 80, 8192, 29568, 152064, 32768),
    "qwen3": (32, 32, 128, 32, 4096, 22016, 151936, 32768),
    "qwen3_5_moe_text": (16, 2, 256, 40, 2048, 0, 248320, 32768),
    "qwen3_5_text": (16, 4, 256, 32, 4096, 12288, 248320, 32768),
    "qwen3_moe": (32, 4, 0, 24, 2048, 6144, 151936, 32768),
    "qwen3_omni_moe_text": (28, 4, 0, 28, 2048, 18944, 3584, 32768),
    "qwen3_vl_moe_text": (16, 16, 0, 24, 2048, 5632, 151936, 128000),
    "qwen3_vl_text": (32, 32, 128, 32, 4096, 22016, 151936, 128000),
    "smollm3": (16, 4, 0, 36, 2048, 11008, 128256, 32768),
    "starcoder2": (24, 2, 0, 30, 3072, 12288, 49152, 4096),
}
# fmt: on

_WINDOWS = {
    "cohere2": 4096,
    "exaone4": 4096,
    "gemma2": 4096,
    "gemma3_text": 4096,
    "gemma3n_text": 512,
    "gemma4_text": 512,
    "gpt_oss": 128,
    "mistral": 4096,
    "olmo3": 4096,
}

DEFAULTS: Mapping[str, Mapping[str, int]] = {
    model_type: {key: value for key, value in zip(_KEYS, values, strict=True) if value}
    | ({"sliding_window": _WINDOWS[model_type]} if model_type in _WINDOWS else {})
    for model_type, values in _TEXT.items()
}
"""Values by key, by ``model_type``."""

VISION_HEADS: Mapping[str, int] = {
    **dict.fromkeys(("aimv2", "aimv2_vision_model"), 8),
    **dict.fromkeys(
        (
            "clip_vision_model", "gemma4_vision", "glm4v_moe_vision", "glm4v_vision", "idefics2_vision",
            "siglip2_vision_model", "siglip_vision_model", "video_llama_3_vision",
        ),
        12,
    ),
    **dict.fromkeys(
        (
            "ernie4_5_vl_moe_vision", "glm_ocr_vision", "idefics3_vision", "internvl_vision", "kimi_k25_vision",
            "llama4_vision_model", "mllama_vision_model", "paddleocr_vl_vision", "phi4_multimodal_vision",
            "pixtral", "qwen2_5_omni_vision_encoder", "qwen2_5_vl", "qwen2_5_vl_vision", "qwen2_vl",
            "qwen2_vl_vision", "qwen3_5_moe_vision", "qwen3_5_vision", "qwen3_omni_moe_vision_encoder",
            "qwen3_vl", "qwen3_vl_moe", "qwen3_vl_moe_vision", "qwen3_vl_vision", "radio", "smolvlm_vision",
            "step3p5_vision",
        ),
        16,
    ),
}  # fmt: skip
"""Attention heads of vision towers, by ``model_type``."""
