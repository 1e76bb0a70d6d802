"""Which packing serves which engine: the one place that a new engine is entered."""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

from moorage_common.core.placement import PlacementReason
from moorage_common.core.states import EngineKind
from moorage_common.modelfiles.gguf_facts import GgufFacts
from moorage_common.modelfiles.safetensors_facts import SafetensorsFacts
from moorage_scheduler.core.explanation import Rejection
from moorage_scheduler.core.layers.packing import LayerPacking
from moorage_scheduler.core.packing import Obstacles, Packing
from moorage_scheduler.core.request import Request
from moorage_scheduler.core.shards.packing import shard_packing
from moorage_scheduler.core.sizes import LayerSizes, VllmSizes
from moorage_scheduler.estimators.gguf import gguf_profile
from moorage_scheduler.estimators.layer_sizes import layer_profile
from moorage_scheduler.estimators.vllm import vllm_needs


def packing_of(request: Request) -> Packing | Obstacles:
    """Returns how a request's model lies on workers, or why it can lie on none."""
    return _PACKINGS[request.engine](request)


def _layers(request: Request) -> Packing | Obstacles:
    match request.facts:
        case GgufFacts():
            estimate = partial(gguf_profile, request.facts)
        case LayerSizes():
            estimate = partial(layer_profile, request.facts)
        case _:
            return _unreadable(request, needed="GGUF", available="safetensors")
    return LayerPacking(estimate, request.options, request.selection)


def _shards(request: Request) -> Packing | Obstacles:
    match request.facts:
        case SafetensorsFacts() | VllmSizes():
            needs = vllm_needs(request.facts, request.vllm, request.category)
            return shard_packing(needs, request.selection)
        case _:
            return _unreadable(request, needed="safetensors", available="GGUF")


_PACKINGS: Mapping[EngineKind, Callable[[Request], Packing | Obstacles]] = MappingProxyType(
    {EngineKind.LLAMA_CPP: _layers, EngineKind.VLLM: _shards}
)


def _unreadable(request: Request, *, needed: str, available: str) -> Obstacles:
    rejection = Rejection(
        reason=PlacementReason.MODEL_UNSUPPORTED,
        needed=needed,
        available=available,
        remedy=f"{request.engine.value} reads {needed}: choose the engine that fits the files",
    )
    return Obstacles((rejection,))
