"""Connections to the mesh. What cannot be reached is told with who says that it is there."""

import getpass
import socket
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypeVar

from moorage_cli.failures import MESH_AWAY, is_mesh_away
from moorage_cli.target import Located, MeshTarget
from moorage_common.core.errors import MoorageError
from moorage_common.rpc.channels import ChannelConfig
from moorage_common.rpc.clients import AgentClient, Client, DownloaderClient, RegistryClient, SchedulerClient
from moorage_common.runtime.telemetry import Telemetry

ClientT = TypeVar("ClientT", bound=Client)


def registry(target: MeshTarget) -> AbstractAsyncContextManager[RegistryClient]:
    """Returns a client of the registry, to be entered."""
    return _connected(RegistryClient, target, target.locate("registry"))


def scheduler(target: MeshTarget) -> AbstractAsyncContextManager[SchedulerClient]:
    """Returns a client of the scheduler, to be entered."""
    return _connected(SchedulerClient, target, target.locate("scheduler"))


def downloader(target: MeshTarget) -> AbstractAsyncContextManager[DownloaderClient]:
    """Returns a client of the downloader, to be entered."""
    return _connected(DownloaderClient, target, target.locate("downloader"))


def agent(target: MeshTarget, address: str, worker: str) -> AbstractAsyncContextManager[AgentClient]:
    """Returns a client of a worker's agent at "host:port", to be entered."""
    # What is allowed with the mesh is allowed with its workers.
    insecure = target.locate("registry").insecure
    where = Located(address=address, origin=f"the record of {worker}", insecure=insecure)
    return _connected(AgentClient, target, where)


@asynccontextmanager
async def _connected(kind: type[ClientT], target: MeshTarget, where: Located) -> AsyncIterator[ClientT]:
    insecure = target.allow_insecure or where.insecure
    config = ChannelConfig(target=where.address, insecure=insecure, actor=actor())
    whence = f"{where.address} is from {where.origin}."
    try:
        # Nothing is exported: the spans are there for their ids, which the servers' logs repeat.
        client = kind.connect(config, telemetry=Telemetry(service="moor"))
    except MoorageError as error:
        error.remedy = f"{error.remedy} {whence}".strip()
        raise
    try:
        async with client:
            yield client
    except MoorageError as error:
        called = error.metadata.get("target", where.address)
        if is_mesh_away(error) and called == where.address and not error.remedy:
            error.remedy = f"{MESH_AWAY} {whence}"
        raise


def actor() -> str:
    """Returns "user@host", for the registry's audit records."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        # A user id without a name, as containers have.
        user = "unknown"
    return f"{user}@{socket.gethostname()}".encode("ascii", "replace").decode()
