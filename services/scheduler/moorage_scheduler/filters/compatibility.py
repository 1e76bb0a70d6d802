"""Which machines each engine runs on, as data."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from moorage_common.core.placement import CpuArchitecture, OperatingSystem
from moorage_common.core.states import AcceleratorKind, EngineKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Compatibility:
    """The machines that one engine runs on."""

    systems: frozenset[OperatingSystem]
    architectures: frozenset[CpuArchitecture]
    accelerators: frozenset[AcceleratorKind]
    """Kinds that it can compute on."""
    needs_accelerator: bool
    """Whether it cannot do with a CPU alone."""


COMPATIBILITY: Mapping[EngineKind, Compatibility] = MappingProxyType(
    {
        EngineKind.LLAMA_CPP: Compatibility(
            systems=frozenset(OperatingSystem),
            architectures=frozenset(CpuArchitecture),
            accelerators=frozenset(AcceleratorKind),
            needs_accelerator=False,
        )
    }
)
