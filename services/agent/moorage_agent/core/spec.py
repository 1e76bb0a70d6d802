"""What an engine is to serve, and how: everything that decides its command line."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Self

from moorage_common.core.llama_cpp import DEFAULT_MICRO_BATCH
from moorage_common.core.placement import KvCacheType
from moorage_common.core.states import EngineKind


class FlashAttention(StrEnum):
    """Whether attention is computed by the fused kernel."""

    AUTO = "auto"
    ON = "on"
    OFF = "off"


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuShare:
    """What one GPU holds of a model."""

    uuid: str
    layers: int
    """Whole layers, the output layer counting as one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSpec:
    """One engine to run. Equal specs need the same process."""

    kind: EngineKind
    alias: str
    """Name under which the engine's API knows the model."""
    artifact: str
    """Id of the artifact to load."""
    entry_point: str
    """File to load, relative to the artifact's directory."""
    context_length: int
    """Tokens, shared by all slots."""
    parallel_slots: int = 1
    gpus: tuple[GpuShare, ...] = ()
    """The GPUs that the engine may see, in the order of their layers. Empty: it computes on the CPU."""
    kv_cache_type: KvCacheType = KvCacheType.F16
    flash_attention: FlashAttention = FlashAttention.AUTO
    micro_batch_size: int = DEFAULT_MICRO_BATCH
    """Tokens that are computed at once."""
    unified_kv_cache: bool = False
    """Whether all slots share one key/value cache."""
    forbid_mmap: bool = False
    """Whether weights are read into memory instead of being mapped."""
    threads: int = 0
    """CPU threads. 0: as many as the node has cores."""

    @property
    def gpu_layers(self) -> int:
        """Layers on GPUs, the output layer counting as one."""
        return sum(gpu.layers for gpu in self.gpus)

    def to_json(self) -> dict[str, Any]:
        """Returns the fields as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        """Builds a spec from `to_json`'s result.

        Raises:
            KeyError, TypeError, ValueError: The fields are not those of a spec.
        """
        known = dict(fields)
        return cls(
            **{
                **known,
                "kind": EngineKind(known["kind"]),
                "gpus": tuple(GpuShare(**gpu) for gpu in known["gpus"]),
                "kv_cache_type": KvCacheType(known["kv_cache_type"]),
                "flash_attention": FlashAttention(known["flash_attention"]),
            }
        )
