"""Which machines each engine runs on, as data."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from moorage_common.core.placement import CpuArchitecture, OperatingSystem
from moorage_common.core.states import AcceleratorKind, EngineKind
from moorage_scheduler.core.request import Request
from moorage_scheduler.core.snapshot import Mask, Snapshot


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
        ),
        EngineKind.VLLM: Compatibility(
            systems=frozenset({OperatingSystem.LINUX}),
            architectures=frozenset(CpuArchitecture),
            accelerators=frozenset({AcceleratorKind.CUDA, AcceleratorKind.ROCM, AcceleratorKind.CANN}),
            needs_accelerator=True,
        ),
    }
)


def must_have_gpu(snapshot: Snapshot, request: Request) -> Mask:
    """Returns which workers cannot do with their CPU alone."""
    columns = snapshot.columns
    if COMPATIBILITY[request.engine].needs_accelerator or request.selection.gpus:
        return np.ones_like(columns.present)
    if request.options.gpu_layers:
        return np.ones_like(columns.present)
    if request.options.forbid_cpu_offload:
        return np.asarray(columns.accelerators != 0)
    return np.zeros_like(columns.present)
