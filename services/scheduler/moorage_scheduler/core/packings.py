"""Which packing serves which engine: the one place that a new engine is entered."""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

from moorage_common.core.placement import PlacementReason
from moorage_common.core.states import EngineKind
from moorage_common.modelfiles.gguf_facts import GgufFacts
from moorage_scheduler.core.explanation import Rejection
from moorage_scheduler.core.layers.packing import LayerPacking
from moorage_scheduler.core.packing import Obstacles, Packing
from moorage_scheduler.core.request import Request
from moorage_scheduler.core.shards.packing import shard_packing
from moorage_scheduler.estimators.gguf import gguf_profile
from moorage_scheduler.estimators.vllm import vllm_needs


def packing_of(request: Request) -> Packing | Obstacles:
    """Returns how a request's model lies on workers, or why it can lie on none."""
    return _PACKINGS[request.engine](request)


def _layers(request: Request) -> Packing | Obstacles:
    if not isinstance(request.facts, GgufFacts):
        return _unreadable(request, "GGUF")
    return LayerPacking(partial(gguf_profile, request.facts), request.options, request.selection)


def _shards(request: Request) -> Packing | Obstacles:
    if isinstance(request.facts, GgufFacts):
        return _unreadable(request, "safetensors")
    return shard_packing(vllm_needs(request.facts, request.vllm, request.category), request.selection)


_PACKINGS: Mapping[EngineKind, Callable[[Request], Packing | Obstacles]] = MappingProxyType(
    {EngineKind.LLAMA_CPP: _layers, EngineKind.VLLM: _shards}
)


def _unreadable(request: Request, needed: str) -> Obstacles:
    available = "GGUF" if isinstance(request.facts, GgufFacts) else "safetensors"
    return Obstacles(
        (
            Rejection(
                reason=PlacementReason.MODEL_UNSUPPORTED,
                needed=needed,
                available=available,
                remedy=f"{request.engine.value} reads {needed}: choose the engine that fits the files",
            ),
        )
    )
