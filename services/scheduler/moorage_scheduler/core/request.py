"""What is to be placed, and what came of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from moorage_common.core.placement import KvCacheType, MemoryPart, PlacementStrategy
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
