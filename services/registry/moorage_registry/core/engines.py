"""Which engine serves a model, and what follows from that for an instance over several workers."""

from collections.abc import Collection, Mapping
from types import MappingProxyType

from moorage_common.core.states import EngineKind

_OF_FORMAT: Mapping[str, EngineKind] = MappingProxyType(
    {"gguf": EngineKind.LLAMA_CPP, "safetensors": EngineKind.VLLM}
)
"""The engine for files of a format, by the name that the format has in the facts of an artifact."""


def engine_of(wanted: EngineKind | None, formats: Collection[str]) -> EngineKind | None:
    """Returns the engine that serves a model; None: nothing is known that could.

    Args:
        wanted: The engine that the model names.
        formats: Of its files: the names that the facts of its artifact have.
    """
    return wanted or next((engine for name, engine in _OF_FORMAT.items() if name in formats), None)


def every_member_loads(engine: EngineKind | None) -> bool:
    """Whether each worker of an instance over several loads the artifact itself.

    vLLM's do; llama.cpp's primary sends its subordinates the tensors.
    """
    return engine is EngineKind.VLLM


def is_exclusive(engine: EngineKind | None, workers: int) -> bool:
    """Whether an instance over so many workers leaves none of them to another one like it."""
    return engine is EngineKind.VLLM and workers > 1
