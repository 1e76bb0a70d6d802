"""What is to be placed, and what came of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from moorage_common.core.placement import (
    FlashAttention,
    KvCacheType,
    MemoryPart,
    PlacementStrategy,
    VllmDtype,
)
from moorage_common.core.states import EngineKind
from moorage_common.modelfiles.gguf_facts import GgufFacts
from moorage_scheduler.core.explanation import Explanation


@dataclass(frozen=True, slots=True, kw_only=True)
class LlamaCppOptions:
    """How llama.cpp is started, as far as its memory depends on it."""

    context_length: int = 0
    """Tokens, shared by all slots. 0: the model's own, at most 4096."""
    parallel_slots: int = 1
    gpu_layers: int | None = None
    """How many layers go to GPUs, the output layer counting as one. None: as many as fit."""
    kv_cache_type: KvCacheType = KvCacheType.F16
    forbid_cpu_offload: bool = False
    """Whether a worker that has GPUs must hold everything on them."""
    flash_attention: FlashAttention | None = None
    """None: where the engine can."""
    micro_batch_size: int = 512
    """Tokens computed at once."""
    unified_kv_cache: bool = False
    """Whether all slots share one key/value cache."""
    forbid_mmap: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class VllmOptions:
    """How vLLM is started, as far as its memory depends on it."""

    gpu_memory_utilization: float | None = None
    """Which part of each GPU's memory it takes. None: 0.9, or what it needs if it makes no text."""
    max_model_len: int = 0
    """Tokens of the longest prompt with its answer. 0: the model's own context length."""
    tensor_parallel_size: int = 0
    """Over how many GPUs each layer is cut. 0: chosen."""
    pipeline_parallel_size: int = 0
    """Over how many groups of GPUs the layers are dealt out. 0: chosen."""
    data_parallel_size: int = 1
    """How many full copies serve side by side."""
    dtype: VllmDtype | None = None
    """None: the model's own."""
    kv_cache_dtype: VllmDtype | None = None
    """None: as `dtype`."""
    max_num_seqs: int = 256
    max_num_batched_tokens: int = 2048
    enforce_eager: bool = False
    """Whether it does without CUDA graphs."""
    text_only: bool = False
    """Whether a multimodal model's towers are left out."""
    host_kv_cache_bytes: int = 0
    """RAM of each worker that keeps keys and values which left the GPUs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which workers are considered at all. Everything given must hold."""

    workers: frozenset[str] = frozenset()
    """Only these. Empty: any."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Only workers that carry all of these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One instance to place."""

    model: str
    """The model, by which replicas are counted."""
    seed: str
    """Breaks ties; the instance's uid, so that its placement replays."""
    facts: GgufFacts
    artifact: str
    engine: EngineKind = EngineKind.LLAMA_CPP
    options: LlamaCppOptions = field(default_factory=LlamaCppOptions)
    selection: Selection = field(default_factory=Selection)
    strategy: PlacementStrategy | None = None
    """None: the scheduler's default."""
    last_worker: str = ""
    """Where the instance was bound last. Empty: nowhere."""
    nominated_worker: str = ""
    """Where its artifact was fetched for it: it goes there if it can. Empty: nowhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Memory that the instance holds in one pool of its worker."""

    pool: str
    parts: Mapping[MemoryPart, int]
    """Bytes by what they pay for."""
    layers: int
    """Whole layers that live there, the output layer counting as one."""

    @property
    def size_bytes(self) -> int:
        """Sum of the parts."""
        return sum(self.parts.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where an instance goes and what it holds there."""

    worker: str
    claims: tuple[Claim, ...]
    """RAM first, then GPUs in the order of the layers: the last holds the output layer."""
    gpu_layers: int
    total_layers: int
    context_length: int
    """Tokens that the claims are for, shared by all slots."""
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The answer to a request."""

    placement: Placement | None
    """None: it goes nowhere; the explanation tells why."""
    explanation: Explanation
