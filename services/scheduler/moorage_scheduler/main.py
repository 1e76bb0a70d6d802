"""The scheduler's process: wiring only."""

import sys
from dataclasses import replace
from random import Random

from moorage.registry.v1.watch_service_pb2 import ResourceKind
from moorage.scheduler.v1.scheduler_service_pb2_grpc import add_SchedulerServiceServicer_to_server
from moorage_common.core.backoff import BackoffPolicy
from moorage_common.core.clock import SystemClock
from moorage_common.rpc.channels import ChannelConfig
from moorage_common.rpc.clients import DownloaderClient, RegistryClient
from moorage_common.rpc.informer import Informer
from moorage_common.rpc.server import RpcServer, ServerConfig
from moorage_common.runtime.logs import get_logger
from moorage_common.runtime.service import Process, run_service
from moorage_common.runtime.tasks import TaskSupervisor
from moorage_scheduler.commit import Committer
from moorage_scheduler.config import SchedulerSettings
from moorage_scheduler.loop import Loop
from moorage_scheduler.mirror import Mirror
from moorage_scheduler.prediction.accelerators import lookup
from moorage_scheduler.predictor import Predictor
from moorage_scheduler.queries import Queries
from moorage_scheduler.retries import Retries
from moorage_scheduler.servicer import SchedulerServicer
from moorage_scheduler.simulation import Simulations

log = get_logger(__name__)

_KINDS = (
    ResourceKind.RESOURCE_KIND_WORKER,
    ResourceKind.RESOURCE_KIND_MODEL,
    ResourceKind.RESOURCE_KIND_INSTANCE,
    ResourceKind.RESOURCE_KIND_ARTIFACT,
    ResourceKind.RESOURCE_KIND_ARTIFACT_COPY,
)
_MAX_REQUEST_BYTES = 64 * 1024 * 1024
"""Of a simulation: 20,000 workers with 8 cards and a few instances each are 25 MB."""
_AFTER_REFUSAL = BackoffPolicy(first_s=0.1, cap_s=5.0, floor_s=0.01)


async def serve(settings: SchedulerSettings, process: Process) -> None:
    """Runs the scheduler until it is told to stop."""
    policy, random = settings.policy(), Random()
    to_registry = ChannelConfig(target=settings.registry_address, insecure=settings.insecure)
    to_downloader = ChannelConfig(target=settings.downloader_address, insecure=settings.insecure)
    listens = replace(ServerConfig.of(settings), max_receive_bytes=_MAX_REQUEST_BYTES)
    async with (
        RegistryClient.connect(to_registry, telemetry=process.telemetry) as registry,
        DownloaderClient.connect(to_downloader, telemetry=process.telemetry) as downloader,
        TaskSupervisor(random=random) as tasks,
        RpcServer(listens, telemetry=process.telemetry) as server,
    ):
        informer, mirror = Informer(registry.watch, kinds=_KINDS, random=random), Mirror()
        predictor = Predictor(mirror, SystemClock())
        loop = Loop(
            changes=informer,
            mirror=mirror,
            commit=Committer(registry.instances),
            retries=Retries(_AFTER_REFUSAL, clock=SystemClock(), random=random),
            policy=policy,
            predict=predictor.predict,
            explain_workers=settings.explain_workers,
            random=random,
        )
        queries = Queries(changes=informer, mirror=mirror, registry=registry, policy=policy)
        simulations = Simulations(
            policy=policy,
            table=lookup,
            artifact=queries.artifact,
            downloader=downloader,
            predict=predictor.predict,
        )
        servicer = SchedulerServicer(queries, simulations, predictor.predict)
        server.add(add_SchedulerServiceServicer_to_server, servicer)
        await server.start()
        tasks.start("informer", informer.run)
        log.info("waiting for the registry", address=settings.registry_address)
        await informer.wait_synced()
        tasks.start("loop", loop.run)
        await server.set_serving()
        log.info("serving", address=server.address)
        await process.until_stopped()


def main() -> None:
    """Console script: moorage-scheduler."""
    sys.exit(run_service(SchedulerSettings, serve))
