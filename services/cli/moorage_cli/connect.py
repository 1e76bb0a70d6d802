"""Connections to the mesh."""

from moorage_cli.options import MeshTarget
from moorage_common.rpc.channels import ChannelConfig
from moorage_common.rpc.clients import AgentClient, DownloaderClient, RegistryClient, SchedulerClient
from moorage_common.runtime.telemetry import Telemetry


def registry(target: MeshTarget) -> RegistryClient:
    """Returns a client of the registry, to be entered."""
    return RegistryClient.connect(_config(target, target.address("registry")), telemetry=_telemetry())


def scheduler(target: MeshTarget) -> SchedulerClient:
    """Returns a client of the scheduler, to be entered."""
    return SchedulerClient.connect(_config(target, target.address("scheduler")), telemetry=_telemetry())


def downloader(target: MeshTarget) -> DownloaderClient:
    """Returns a client of the downloader, to be entered."""
    return DownloaderClient.connect(_config(target, target.address("downloader")), telemetry=_telemetry())


def agent(target: MeshTarget, address: str) -> AgentClient:
    """Returns a client of the agent at "host:port", to be entered."""
    return AgentClient.connect(_config(target, address), telemetry=_telemetry())


def _config(target: MeshTarget, address: str) -> ChannelConfig:
    return ChannelConfig(target=address, insecure=target.insecure)


def _telemetry() -> Telemetry:
    # Nothing is exported: the spans are there for their ids, which the servers' logs repeat.
    return Telemetry(service="moor")
