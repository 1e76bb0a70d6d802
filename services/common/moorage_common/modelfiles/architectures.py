"""What has to be known about llama.cpp's architectures beyond what a file's header says."""

from dataclasses import dataclass
from enum import Enum, auto

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

# fmt: off
UNCACHED: frozenset[str] = frozenset({
    "bert", "clef", "dream", "eurobert", "gemma-embedding", "gemma-embedding2", "jina-bert-v2",
    "jina-bert-v3", "llada", "llada-moe", "modern-bert", "neo-bert", "nomic-bert", "nomic-bert-moe",
    "rnd1", "wavtokenizer-dec",
})
# fmt: on
"""Those that read a text as a whole, so that nothing of it is kept."""


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

# fmt: off
UNROTATED: frozenset[str] = frozenset({
    "bert", "bloom", "glm5-next", "gpt2", "jais", "jamba", "jina-bert-v2", "kimi-k3", "kimi-linear",
    "mpt", "nemotron_h", "nemotron_h_moe", "refact", "starcoder", "t5", "t5encoder",
})
# fmt: on
"""Those whose queries and keys do not turn with their position."""

NORMED_VALUES: frozenset[str] = frozenset({"gemma-embedding2", "gemma3n", "gemma4"})
"""Those whose values are normed, as elsewhere at most queries and keys are."""

RESIDUAL_FIRST: frozenset[str] = frozenset({"jamba", "lfm2", "lfm2moe", "openelm", "phi3", "phimoe"})
"""Those in which a block's result is added to its input, which it replaces; elsewhere it is the other way round."""

ATTENTION_FIRST: frozenset[str] = frozenset({"phi2"})
"""Those in which attention comes before a feed-forward layer beside it; elsewhere it comes after."""

OWN_NORMS: frozenset[str] = frozenset({"gptneox"})
"""Those in which a feed-forward layer beside attention reads a norm of its own, and not attention's."""

HEAD_FIRST: frozenset[str] = frozenset({"gemma3n", "gemma4"})
"""Those whose head llama.cpp makes before the token embedding: read into memory, one that is both is there twice."""


class Recurrence(Enum):
    """How a recurrent block computes; its name in papers and in llama.cpp."""

    MAMBA = auto()
    MAMBA2 = auto()
    DELTA_NET = auto()
    """The gated delta rule."""
    KIMI_DELTA = auto()
    """The delta rule with a gate per channel."""
    LIGHTNING = auto()
    """Linear attention with a fixed decay."""
    SHORT_CONVOLUTION = auto()
    RWKV6 = auto()
    RWKV7 = auto()


class Recurrent(Enum):
    """Which blocks of an architecture are recurrent."""

    ALL = auto()
    BESIDE_ATTENTION = auto()
    """Each block, and each has attention, too."""
    WITHOUT_KEYS = auto()
    """Those that the header gives no key/value heads."""
    ALONE = auto()
    """Those that the header gives neither key/value heads nor a feed-forward layer: a block is one thing only."""
    LISTED = auto()
    """Those that the header lists, or all but one in each interval."""


@dataclass(frozen=True, slots=True)
class RecurrentRule:
    """What is recurrent in an architecture."""

    recurrence: Recurrence
    blocks: Recurrent
    interval: int = 0
    """With `Recurrent.LISTED`: one block of so many has attention, where the header does not say."""


RECURRENT: dict[str, RecurrentRule] = {
    "arwkv7": RecurrentRule(Recurrence.RWKV7, Recurrent.ALL),
    "bailingmoe3": RecurrentRule(Recurrence.KIMI_DELTA, Recurrent.WITHOUT_KEYS),
    "falcon-h1": RecurrentRule(Recurrence.MAMBA2, Recurrent.BESIDE_ATTENTION),
    "glm5-next": RecurrentRule(Recurrence.KIMI_DELTA, Recurrent.WITHOUT_KEYS),
    "granitehybrid": RecurrentRule(Recurrence.MAMBA2, Recurrent.WITHOUT_KEYS),
    "jamba": RecurrentRule(Recurrence.MAMBA, Recurrent.WITHOUT_KEYS),
    "kimi-k3": RecurrentRule(Recurrence.KIMI_DELTA, Recurrent.WITHOUT_KEYS),
    "kimi-linear": RecurrentRule(Recurrence.KIMI_DELTA, Recurrent.WITHOUT_KEYS),
    "lfm2": RecurrentRule(Recurrence.SHORT_CONVOLUTION, Recurrent.WITHOUT_KEYS),
    "lfm2moe": RecurrentRule(Recurrence.SHORT_CONVOLUTION, Recurrent.WITHOUT_KEYS),
    "mamba": RecurrentRule(Recurrence.MAMBA, Recurrent.ALL),
    "mamba2": RecurrentRule(Recurrence.MAMBA2, Recurrent.ALL),
    "minimax-01": RecurrentRule(Recurrence.LIGHTNING, Recurrent.LISTED, 8),
    "nemotron_h": RecurrentRule(Recurrence.MAMBA2, Recurrent.ALONE),
    "nemotron_h_moe": RecurrentRule(Recurrence.MAMBA2, Recurrent.ALONE),
    "plamo2": RecurrentRule(Recurrence.MAMBA, Recurrent.WITHOUT_KEYS),
    "qwen35": RecurrentRule(Recurrence.DELTA_NET, Recurrent.LISTED, 4),
    "qwen35moe": RecurrentRule(Recurrence.DELTA_NET, Recurrent.LISTED, 4),
    "qwen3next": RecurrentRule(Recurrence.DELTA_NET, Recurrent.LISTED, 4),
    "qwen4exp": RecurrentRule(Recurrence.DELTA_NET, Recurrent.LISTED, 4),
    "rwkv6": RecurrentRule(Recurrence.RWKV6, Recurrent.ALL),
    "rwkv6qwen2": RecurrentRule(Recurrence.RWKV6, Recurrent.ALL),
    "rwkv7": RecurrentRule(Recurrence.RWKV7, Recurrent.ALL),
}
"""Architectures that carry a state from token to token instead of keys and values, in some or all blocks."""
