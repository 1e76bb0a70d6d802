"""What the node is and has, as the registry is told."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from moorage.registry.v1 import worker_pb2
from moorage_agent.devices.gpus import Gpu
from moorage_agent.devices.host import HostFacts
from moorage_agent.engines.contract import InstalledEngine
from moorage_common.core.placement import CpuArchitecture, OperatingSystem
from moorage_common.core.states import AcceleratorKind
from moorage_common.rpc import enums

_SYSTEMS: Mapping[str, OperatingSystem] = {
    "Linux": OperatingSystem.LINUX,
    "Darwin": OperatingSystem.DARWIN,
    "Windows": OperatingSystem.WINDOWS,
}
_MACHINES: Mapping[str, CpuArchitecture] = {
    "x86_64": CpuArchitecture.X86_64,
    "AMD64": CpuArchitecture.X86_64,
    "aarch64": CpuArchitecture.AARCH64,
    "arm64": CpuArchitecture.AARCH64,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeIdentity:
    """Who the node is."""

    node_id: str
    agent_address: str
    agent_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reserved:
    """Memory that is never given to instances."""

    ram_bytes: int
    gpu_bytes: int
    """Of each GPU."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingFacts:
    """What stays while the agent runs."""

    identity: NodeIdentity
    host: HostFacts
    engines: tuple[InstalledEngine, ...]
    reserved: Reserved


def node_facts(standing: StandingFacts, gpus: Iterable[Gpu]) -> worker_pb2.NodeFacts:
    """Writes the facts of a node."""
    identity, host, reserved = standing.identity, standing.host, standing.reserved
    system, machine = _SYSTEMS.get(host.system), _MACHINES.get(host.machine)
    return worker_pb2.NodeFacts(
        node_id=identity.node_id,
        hostname=host.hostname,
        operating_system=worker_pb2.OPERATING_SYSTEM_UNSPECIFIED
        if system is None
        else enums.OPERATING_SYSTEM.to_proto(system),
        cpu_architecture=worker_pb2.CPU_ARCHITECTURE_UNSPECIFIED
        if machine is None
        else enums.CPU_ARCHITECTURE.to_proto(machine),
        cpu_cores=host.cpu_cores,
        ram_total_bytes=host.ram_total_bytes,
        ram_reserved_bytes=min(reserved.ram_bytes, host.ram_total_bytes),
        accelerators=[_accelerator(gpu, reserved) for gpu in gpus],
        engines=[_engine(engine) for engine in standing.engines],
        agent_address=identity.agent_address,
        agent_version=identity.agent_version,
        cpu_product=host.cpu_product,
    )


def _accelerator(gpu: Gpu, reserved: Reserved) -> worker_pb2.Accelerator:
    return worker_pb2.Accelerator(
        uuid=gpu.uuid,
        index=gpu.index,
        kind=enums.ACCELERATOR_KIND.to_proto(AcceleratorKind.CUDA),
        product=gpu.product,
        memory_total_bytes=gpu.memory_total_bytes,
        memory_reserved_bytes=min(reserved.gpu_bytes, gpu.memory_total_bytes),
        compute_capability=gpu.compute_capability,
        driver_version=gpu.driver_version,
        link_group=gpu.link_group,
        switch_group=gpu.switch_group,
    )


def _engine(engine: InstalledEngine) -> worker_pb2.InstalledEngine:
    return worker_pb2.InstalledEngine(
        kind=enums.ENGINE_KIND.to_proto(engine.kind),
        version=engine.version,
        accelerator_kinds=[enums.ACCELERATOR_KIND.to_proto(kind) for kind in engine.accelerators],
        single_worker_only=engine.single_worker_only,
    )
