"""What is to be placed, and what came of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from moorage_common.core.placement import (
    FlashAttention,
    KvCacheType,
    MemoryPart,
    ModelCategory,
    PlacementMode,
    PlacementStrategy,
    VllmDtype,
)
from moorage_common.core.states import AcceleratorKind, EngineKind
from moorage_common.modelfiles.gguf_facts import GgufFacts
from moorage_common.modelfiles.safetensors_facts import SafetensorsFacts
from moorage_scheduler.core.cluster import Pool, Tenant
from moorage_scheduler.core.explanation import Explanation
from moorage_scheduler.core.parallel import ParallelShape
from moorage_scheduler.core.sizes import LayerSizes, VllmSizes


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
    threads: int = 0
    """CPU threads that it may use. 0: as many as the worker has cores."""
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
class GpuWish:
    """One GPU that was chosen by hand: by its UUID, or by its place."""

    worker: str
    uuid: str = ""
    kind: AcceleratorKind | None = None
    index: int = 0

    def __str__(self) -> str:
        return f"{self.worker}: " + (self.uuid or f"{(self.kind or 'GPU').lower()} {self.index}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What is considered at all. Everything given must hold."""

    workers: frozenset[str] = frozenset()
    """Only these. Empty: any."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Only workers that carry all of these."""
    gpus: frozenset[GpuWish] = frozenset()
    """Only these GPUs. Empty: any."""
    gpus_per_replica: int = 0
    """How many of these GPUs each instance uses. 0: all of them."""
    primary_worker: str = ""
    """The one that leads, where several serve together. Empty: chosen."""
    may_distribute: bool = True
    """Whether several workers may serve one instance together."""

    @property
    def exact_gpus(self) -> int:
        """How many GPUs an instance must use. 0: as few as will do."""
        return self.gpus_per_replica or len(self.gpus)


Facts: TypeAlias = GgufFacts | LayerSizes | SafetensorsFacts | VllmSizes
"""What is known of a model: what its files say, or what it needs in bytes. The first two are for llama.cpp."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One instance to place."""

    model: str
    """The model, by which replicas are counted."""
    seed: str
    """Breaks ties; the instance's uid, so that its placement replays."""
    facts: Facts
    artifact: str
    artifact_bytes: int = 0
    """Room that the artifact takes on a disk that does not have it."""
    local_path: str = ""
    """A path on workers that the model is loaded from. Empty: its artifact is fetched."""
    engine: EngineKind = EngineKind.LLAMA_CPP
    engine_version: str = ""
    """A version, or conditions on it. Empty: any."""
    options: LlamaCppOptions = field(default_factory=LlamaCppOptions)
    vllm: VllmOptions = field(default_factory=VllmOptions)
    category: ModelCategory | None = None
    """What the model is for. None: as its facts say."""
    selection: Selection = field(default_factory=Selection)
    strategy: PlacementStrategy | None = None
    """None: the scheduler's default."""
    last_worker: str = ""
    """Where the instance was bound last. Empty: nowhere."""
    nominated_worker: str = ""
    """Where its artifact was fetched for it: it goes there if it can. Empty: nowhere."""

    @property
    def quantization(self) -> str:
        """How weights are quantised, as files name it. Empty: not, or not known."""
        return "" if isinstance(self.facts, LayerSizes) else self.facts.quantization


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Memory that the instance holds in one pool of a worker."""

    worker: str
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
    """The one that leads."""
    subordinates: tuple[str, ...] = ()
    """The others, in the order of their ranks."""
    claims: tuple[Claim, ...]
    """RAM first, then GPUs in the order of the layers: the last holds the output layer."""
    engine: EngineKind
    engine_version: str = ""
    """On all workers that take part. Empty: not known."""
    mode: PlacementMode
    gpu_layers: int
    total_layers: int
    context_length: int
    """Tokens that the claims are for, shared by all slots."""
    score: float
    parallel: ParallelShape | None = None
    """None: another engine than vLLM."""

    @property
    def loaders(self) -> tuple[str, ...]:
        """The workers that read the model's files: llama.cpp's primary sends the others what they hold."""
        return (self.worker, *self.subordinates) if self.engine is EngineKind.VLLM else (self.worker,)

    @property
    def is_exclusive(self) -> bool:
        """Whether it is a distributed vLLM instance, of which a worker can serve only one at a time."""
        return self.engine is EngineKind.VLLM and bool(self.subordinates)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The answer to a request."""

    placement: Placement | None
    """None: it goes nowhere; the explanation tells why."""
    explanation: Explanation


def tenant_of(model: str, placement: Placement) -> Tenant:
    """Returns what an instance of a model is to the fleet once it is bound."""
    claims: dict[Pool, int] = {}
    for claim in placement.claims:
        pool = (claim.worker, claim.pool)
        claims[pool] = claims.get(pool, 0) + claim.size_bytes
    return Tenant(
        model=model,
        worker=placement.worker,
        claims=claims,
        subordinates=placement.subordinates,
        exclusive=placement.is_exclusive,
    )
