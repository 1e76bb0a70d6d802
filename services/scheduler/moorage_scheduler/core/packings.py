"""Which packing serves which engine: the one place that a new engine is entered."""

from functools import lru_cache, partial

from moorage_common.core.placement import ModelCategory, PlacementReason
from moorage_common.core.states import EngineKind
from moorage_common.modelfiles.gguf_facts import GgufFacts
from moorage_common.modelfiles.safetensors_facts import SafetensorsFacts
from moorage_scheduler.core.explanation import Rejection
from moorage_scheduler.core.layers.packing import layer_packing
from moorage_scheduler.core.packing import Obstacles, Packing
from moorage_scheduler.core.request import Facts, LlamaCppOptions, Request, VllmOptions
from moorage_scheduler.core.shards.packing import shard_packing
from moorage_scheduler.core.sizes import LayerSizes, VllmSizes
from moorage_scheduler.estimators.gguf import gguf_profile
from moorage_scheduler.estimators.gguf_flash import refused
from moorage_scheduler.estimators.layer_sizes import layer_profile
from moorage_scheduler.estimators.vllm import vllm_needs


def packing_of(request: Request) -> Packing | Obstacles:
    """Returns how a request's model lies on workers, or why it can lie on none."""
    return _packing(
        request.engine,
        _Same(request.facts),
        options=request.options,
        vllm=request.vllm,
        category=request.category,
        exact_gpus=request.selection.exact_gpus,
    )


class _Same:
    """Facts that are the same if they are one object: replicas of a model share theirs."""

    __slots__ = ("facts",)

    def __init__(self, facts: Facts) -> None:
        self.facts = facts

    def __hash__(self) -> int:
        return id(self.facts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.facts is self.facts


@lru_cache(maxsize=256)
def _packing(
    engine: EngineKind,
    known: _Same,
    *,
    options: LlamaCppOptions,
    vllm: VllmOptions,
    category: ModelCategory | None,
    exact_gpus: int,
) -> Packing | Obstacles:
    facts = known.facts
    match engine, facts:
        case EngineKind.LLAMA_CPP, GgufFacts():
            why_not = refused(facts, options)
            if why_not:
                return Obstacles((why_not,))
            return layer_packing(partial(gguf_profile, facts), options, exact_gpus)
        case EngineKind.LLAMA_CPP, LayerSizes():
            return layer_packing(partial(layer_profile, facts), options, exact_gpus)
        case EngineKind.VLLM, SafetensorsFacts() | VllmSizes():
            return shard_packing(vllm_needs(facts, vllm, category), exact_gpus)
        case EngineKind.LLAMA_CPP, _:
            return _unreadable(engine, needed="GGUF", available="safetensors")
        case EngineKind.VLLM, _:
            return _unreadable(engine, needed="safetensors", available="GGUF")


def _unreadable(engine: EngineKind, *, needed: str, available: str) -> Obstacles:
    rejection = Rejection(
        reason=PlacementReason.MODEL_UNSUPPORTED,
        needed=needed,
        available=available,
        remedy=f"{engine.value} reads {needed}: choose the engine that fits the files",
    )
    return Obstacles((rejection,))
