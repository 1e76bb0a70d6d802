"""The agent's process: wiring only."""

import importlib.metadata
import os
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from random import Random

import aiohttp

from moorage.agent.v1 import agent_service_pb2_grpc
from moorage.registry.v1 import worker_pb2
from moorage_agent.agent import Agent, Surroundings, build_agent
from moorage_agent.config import AgentSettings
from moorage_agent.core.naming import public_host, worker_id
from moorage_agent.devices.host import HostFacts, host_facts
from moorage_agent.engines.contract import Engine, EngineUnusable, InstalledEngine
from moorage_agent.engines.llama_server import LlamaServerEngine
from moorage_agent.engines.xllamacpp import XllamacppEngine
from moorage_agent.mesh.blobs import MeshBlobSource
from moorage_agent.mesh.facts import NodeIdentity, Reserved, StandingFacts, node_facts
from moorage_agent.mesh.link import Node, RegistryLink
from moorage_agent.mesh.reporter import Reporter
from moorage_agent.servicer import AgentServicer
from moorage_agent.storage.layout import Layout
from moorage_agent.storage.node import NodeLock, load_node_id
from moorage_common.core.address import Address
from moorage_common.core.backoff import Backoff, BackoffPolicy
from moorage_common.core.clock import SystemClock
from moorage_common.core.names import worker_name
from moorage_common.rpc.channels import ChannelConfig
from moorage_common.rpc.clients import RegistryClient
from moorage_common.rpc.server import RpcServer, ServerConfig
from moorage_common.runtime.logs import get_logger
from moorage_common.runtime.service import Process, run_service

log = get_logger(__name__)

_RECONNECT = BackoffPolicy(first_s=0.5, cap_s=10.0)


async def serve(settings: AgentSettings, process: Process) -> None:
    """Runs the agent until it is told to stop."""
    layout = Layout(settings.data_dir)
    layout.create()
    lock = NodeLock.take(layout.lock_file)
    try:
        async with AsyncExitStack() as stack:
            await _serve(settings, process, layout, stack)
    finally:
        lock.release()


async def _serve(settings: AgentSettings, process: Process, layout: Layout, stack: AsyncExitStack) -> None:
    telemetry, host = process.telemetry, host_facts()
    channel = ChannelConfig(target=settings.registry_address, insecure=settings.insecure)
    registry = await stack.enter_async_context(RegistryClient.connect(channel, telemetry=telemetry))
    source = MeshBlobSource(channel, telemetry=telemetry)
    stack.push_async_callback(source.close)
    http = await stack.enter_async_context(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
    server = await stack.enter_async_context(RpcServer(ServerConfig.of(settings), telemetry=telemetry))
    engine = _engine(settings, http, host)
    installed = await _installed(engine)
    agent = build_agent(
        settings,
        layout,
        engines={engine.kind: engine},
        installed=[found.kind for found in installed],
        source=source,
        surroundings=Surroundings(
            environment=os.environ,
            hostname=host.hostname,
            tasks=process.tasks,
            clock=SystemClock(),
            random=Random(),
        ),
    )
    node_id = load_node_id(layout.node_file)

    def facts() -> worker_pb2.NodeFacts:
        address = _public_address(settings, server, host)
        identity = NodeIdentity(node_id=node_id, agent_address=address, agent_version=_version())
        standing = StandingFacts(
            identity=identity,
            host=host,
            engines=installed,
            reserved=Reserved(ram_bytes=settings.reserved_ram_bytes, gpu_bytes=settings.reserved_gpu_bytes),
        )
        return node_facts(standing, agent.monitor.gpus)

    worker = worker_id(settings.worker_name, hostname=host.hostname)
    link = _link(registry, agent, worker, facts)
    server.add(
        agent_service_pb2_grpc.add_AgentServiceServicer_to_server,
        AgentServicer(
            worker=worker_name(worker),
            facts=facts,
            registered=lambda: link.registered,
            monitor=agent.monitor,
            engines=agent.engines,
            copies=agent.copies,
            versions={found.kind: found.version for found in installed},
        ),
    )
    await server.start()
    reporter = Reporter(
        registry, link, agent.outbox, worker_id=worker, wake=agent.outbox_changed, clock=SystemClock()
    )
    await agent.take_over()
    loop = process.tasks.start("node loop", agent.loop.run)
    try:
        await _work(process, server, agent, link, reporter)
    finally:
        if settings.stop_engines_on_exit:
            # First what would start them again.
            await loop.stop()
            await agent.engines.stop_all()


async def _work(
    process: Process, server: RpcServer, agent: Agent, link: RegistryLink, reporter: Reporter
) -> None:
    await link.register()
    tasks = process.tasks
    tasks.start("registry link", link.run)
    tasks.start("reporter", reporter.run)
    tasks.start("monitor", lambda: agent.monitor.run(link.register_again))
    tasks.start("usage", agent.usage.run)
    tasks.start("engine logs", agent.engines.rotate_logs)
    tasks.start("artifact check", agent.loop.recheck_copies)
    await server.set_serving()
    await process.until_stopped()


def _engine(settings: AgentSettings, http: aiohttp.ClientSession, host: HostFacts) -> Engine:
    if settings.llama_server is not None:
        return LlamaServerEngine(
            http, binary=settings.llama_server, environment=os.environ, default_threads=host.cpu_cores
        )
    return XllamacppEngine(http, environment=os.environ, default_threads=host.cpu_cores)


async def _installed(engine: Engine) -> tuple[InstalledEngine, ...]:
    try:
        return (await engine.installed(),)
    except EngineUnusable as error:
        log.warning(
            "the engine cannot be used, so this node runs no models; mend it, then start the agent again",
            engine=engine.kind.value,
            error=str(error),
        )
        return ()


def _link(
    registry: RegistryClient, agent: Agent, worker: str, facts: Callable[[], worker_pb2.NodeFacts]
) -> RegistryLink:
    def on_connected() -> None:
        agent.outbox.clear_taken()
        agent.outbox_changed.set()

    node = Node(
        worker=worker_name(worker),
        facts=facts,
        measurements=lambda: replace(agent.monitor.measurements, instances=agent.usage.figures),
        on_desired=agent.loop.set_desired,
        on_connected=on_connected,
    )
    return RegistryLink(
        registry,
        node,
        backoff=Backoff(_RECONNECT, Random()),
        clock=SystemClock(),
    )


def _public_address(settings: AgentSettings, server: RpcServer, host: HostFacts) -> str:
    bound = Address.parse(server.address)
    return str(
        Address(public_host(settings.public_host, bound=bound.host, hostname=host.hostname), bound.port)
    )


def _version() -> str:
    return importlib.metadata.version("moorage")


def main() -> None:
    """Runs the program."""
    sys.exit(run_service(AgentSettings, serve))
