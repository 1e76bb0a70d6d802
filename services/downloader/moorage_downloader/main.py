"""The downloader's process: wiring only."""

import sys
from dataclasses import dataclass
from random import Random

from moorage.downloader.v1 import blob_service_pb2_grpc, download_service_pb2_grpc
from moorage.registry.v1.artifact_service_pb2_grpc import ArtifactServiceStub
from moorage.registry.v1.watch_service_pb2 import ResourceKind
from moorage_common.core.clock import SystemClock
from moorage_common.rpc.channels import ChannelConfig
from moorage_common.rpc.clients import RegistryClient
from moorage_common.rpc.informer import Informer
from moorage_common.rpc.server import RpcServer, ServerConfig
from moorage_common.runtime.logs import get_logger
from moorage_common.runtime.service import Process, run_service
from moorage_common.runtime.tasks import TaskSupervisor
from moorage_downloader.config import DownloaderSettings
from moorage_downloader.library import Library
from moorage_downloader.loops.pulls import PullLoop
from moorage_downloader.loops.resolutions import ResolutionLoop
from moorage_downloader.puller import Puller, PullLimits
from moorage_downloader.resolver import Resolver
from moorage_downloader.servicers.blobs import BlobServicer
from moorage_downloader.servicers.downloads import DownloadServicer
from moorage_downloader.sources.catalog import SourceCatalog
from moorage_downloader.sources.http_reader import HttpReader
from moorage_downloader.sources.hub import HubSource
from moorage_downloader.sources.hub_limits import bound_hub_library
from moorage_downloader.sources.local import LocalSource
from moorage_downloader.sources.web import WebSource
from moorage_downloader.store.disk import DiskStore

log = get_logger(__name__)

_KINDS = (
    ResourceKind.RESOURCE_KIND_MODEL,
    ResourceKind.RESOURCE_KIND_ARTIFACT,
    ResourceKind.RESOURCE_KIND_ARTIFACT_COPY,
    ResourceKind.RESOURCE_KIND_DOWNLOAD,
)


async def serve(settings: DownloaderSettings, process: Process) -> None:
    """Runs the downloader until it is told to stop."""
    config = ChannelConfig(target=settings.registry_address, insecure=settings.insecure)
    with DiskStore(settings.cache_dir) as store:
        async with (
            RegistryClient.connect(config, telemetry=process.telemetry) as registry,
            HttpReader(https_proxy=settings.https_proxy) as http,
            RpcServer(ServerConfig.of(settings), telemetry=process.telemetry) as server,
            # Last, so that it ends first: nothing is pulled any more when the rest goes away.
            TaskSupervisor() as tasks,
        ):
            sources, library = _sources(settings, http), Library(store)
            resolver = Resolver(sources)
            informer = Informer(registry.watch, kinds=_KINDS)
            server.add(blob_service_pb2_grpc.add_BlobServiceServicer_to_server, BlobServicer(library))
            server.add(
                download_service_pb2_grpc.add_DownloadServiceServicer_to_server,
                DownloadServicer(registry=registry.artifacts, informer=informer, resolver=resolver),
            )
            await server.start()
            tasks.start("informer", informer.run)
            log.info("waiting for the registry", address=settings.registry_address)
            await informer.wait_synced()
            common = _LoopParts(settings, store.holder, registry.artifacts, informer, tasks)
            tasks.start("resolutions", _resolution_loop(common, resolver).run)
            tasks.start("pulls", _pull_loop(common, _puller(settings, store, library, sources), server).run)
            await server.set_serving()
            log.info("serving", address=server.address, cache_dir=str(settings.cache_dir))
            await process.until_stopped()


@dataclass(frozen=True, slots=True)
class _LoopParts:
    """What both loops are made of."""

    settings: DownloaderSettings
    holder: str
    registry: ArtifactServiceStub
    informer: Informer
    tasks: TaskSupervisor


def _sources(settings: DownloaderSettings, http: HttpReader) -> SourceCatalog:
    bound_hub_library(https_proxy=settings.https_proxy)
    token = settings.hf_token.get_secret_value()
    return SourceCatalog(
        hub=HubSource(http, endpoint=settings.hf_endpoint, token=token),
        web=WebSource(http),
        local=LocalSource(settings.file_root),
    )


def _puller(
    settings: DownloaderSettings, store: DiskStore, library: Library, sources: SourceCatalog
) -> Puller:
    return Puller(
        store=store,
        library=library,
        sources=sources,
        clock=SystemClock(),
        random=Random(),
        limits=PullLimits(files_at_once=settings.files_at_once),
    )


def _resolution_loop(parts: _LoopParts, resolver: Resolver) -> ResolutionLoop:
    return ResolutionLoop(
        registry=parts.registry,
        informer=parts.informer,
        resolver=resolver,
        tasks=parts.tasks,
        holder=parts.holder,
        at_once=parts.settings.resolutions_at_once,
        poll_interval_s=parts.settings.poll_interval_s,
        random=Random(),
    )


def _pull_loop(parts: _LoopParts, puller: Puller, server: RpcServer) -> PullLoop:
    return PullLoop(
        registry=parts.registry,
        informer=parts.informer,
        puller=puller,
        tasks=parts.tasks,
        holder=parts.holder,
        address=parts.settings.advertise_address or server.address,
        at_once=parts.settings.pulls_at_once,
        poll_interval_s=parts.settings.poll_interval_s,
        random=Random(),
    )


def main() -> None:
    """Console script: moorage-downloader."""
    sys.exit(run_service(DownloaderSettings, serve))
