"""What has to be known about llama.cpp's architectures beyond what a file's header says."""

from dataclasses import dataclass

# fmt: off
ARCHITECTURES: frozenset[str] = frozenset({
    "afmoe", "apertus", "arcee", "arctic", "arwkv7", "baichuan", "bailingmoe", "bailingmoe2",
    "bailingmoe3", "bert", "bitnet", "bloom", "chameleon", "chatglm", "clef", "codeshell", "cogvlm",
    "cohere2", "cohere2moe", "command-r", "dbrx", "deci", "deepseek", "deepseek2", "deepseek2-ocr",
    "deepseek32", "deepseek4", "dots1", "dots3note", "dream", "ernie4_5", "ernie4_5-moe", "eurobert",
    "exaone", "exaone-moe", "exaone4", "falcon", "falcon-h1", "gemma", "gemma-embedding",
    "gemma-embedding2", "gemma2", "gemma3", "gemma3n", "gemma4", "glm-dsa", "glm4", "glm4moe",
    "glm5-next", "gpt-oss", "gpt2", "gptj", "gptneox", "granite", "granite_swa", "granitehybrid",
    "granitemoe", "graniteswitch", "grok", "grovemoe", "hrm_text", "hunyuan-dense", "hunyuan-moe",
    "hunyuan_vl", "hy_v3", "hy_v4", "internlm2", "jais", "jais2", "jamba", "jina-bert-v2",
    "jina-bert-v3", "k2-horizon", "kimi-k3", "kimi-linear", "laguna", "lfm2", "lfm2moe", "llada",
    "llada-moe", "llama", "llama-embed", "llama4", "maincoder", "mamba", "mamba2", "maple", "mellum",
    "mimo2", "minicpm", "minicpm3", "minimax-01", "minimax-m2", "minimax-m3", "mistral3", "mistral4",
    "modern-bert", "mpt", "muse-glimmer", "nanbeige", "nemotron", "nemotron_h", "nemotron_h_moe",
    "neo-bert", "nomic-bert", "nomic-bert-moe", "olmo", "olmo2", "olmoe", "openelm", "orion",
    "paddleocr", "pangu-embedded", "phi2", "phi3", "phimoe", "plamo", "plamo2", "plamo3", "plm",
    "pockettts", "qwen", "qwen2", "qwen2moe", "qwen2vl", "qwen3", "qwen35", "qwen35moe", "qwen3moe",
    "qwen3next", "qwen3tts", "qwen3vl", "qwen3vlmoe", "qwen4exp", "refact", "rnd1", "rwkv6",
    "rwkv6qwen2", "rwkv7", "seed_oss", "smallthinker", "smollm3", "spark2_5", "stablelm", "starcoder",
    "starcoder2", "step35", "t5", "t5encoder", "talkie", "wavtokenizer-dec", "xverse",
})
# fmt: on
"""The architectures that llama.cpp can serve on their own.

Left out are ``clip`` (only a part of another model) and the draft models ``dflash``, ``eagle3`` and
``gemma4-assistant`` (useless without their target).
"""

# fmt: off
ENCODERS: frozenset[str] = frozenset({
    "bert", "eurobert", "gemma-embedding", "gemma-embedding2", "jina-bert-v2", "jina-bert-v3",
    "modern-bert", "neo-bert", "nomic-bert", "nomic-bert-moe", "t5encoder", "wavtokenizer-dec",
})
# fmt: on
"""Those that have no output head, so that a file without one does not mean a tied one."""


@dataclass(frozen=True, slots=True)
class SlidingWindow:
    """Which blocks of an architecture attend only to the last tokens, where the header leaves it open."""

    period: int
    """One block of so many attends to everything. 0: none does."""
    full_first: bool = False
    """Whether it is the first block of each period. Otherwise the last."""
    default: int = 0
    """Window, in tokens, when the header gives none. 0: then there is no window."""
    fixed: int = 0
    """Window, in tokens, that is used whatever the header says. 0: the header's."""


SLIDING_WINDOWS: dict[str, SlidingWindow] = {
    "afmoe": SlidingWindow(4),
    "cohere2": SlidingWindow(4),
    "cohere2moe": SlidingWindow(4, full_first=True),
    "deepseek4": SlidingWindow(0),
    "exaone-moe": SlidingWindow(4, default=128),
    "exaone4": SlidingWindow(4),
    "gemma-embedding": SlidingWindow(6),
    "gemma-embedding2": SlidingWindow(6),
    "gemma2": SlidingWindow(2, default=4096),
    "gemma3": SlidingWindow(6),
    "gemma3n": SlidingWindow(5),
    "gpt-oss": SlidingWindow(2),
    "laguna": SlidingWindow(4, full_first=True),
    "lfm2": SlidingWindow(0),
    "lfm2moe": SlidingWindow(0),
    "llama4": SlidingWindow(4, default=8192, fixed=8192),
    "mellum": SlidingWindow(4),
    "modern-bert": SlidingWindow(3, full_first=True),
    "muse-glimmer": SlidingWindow(4),
    "olmo2": SlidingWindow(4),
    "plamo3": SlidingWindow(8),
    "smallthinker": SlidingWindow(4, full_first=True, fixed=4096),
}
"""Architectures that llama.cpp runs with a window.

Others it runs with one only when the header lists, block by block, which blocks have it; a bare window length
in their headers is ignored, as llama.cpp ignores it.
"""
