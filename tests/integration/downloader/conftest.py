"""A real hub, over real sockets, serving a folder of the test's own."""

import asyncio
import os
import signal
import socket
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random

import pytest
from fleet_tools import Fleet

from moorage_cli.quickstart.hub import Hub
from moorage_cli.quickstart.tiny_model import TinyModel, write_tiny_model
from moorage_common.core.backoff import BackoffPolicy
from moorage_common.core.clock import SystemClock
from moorage_common.rpc.channels import ChannelConfig
from moorage_common.rpc.clients import DownloaderClient
from moorage_common.runtime.service import Process
from moorage_common.runtime.tasks import TaskSupervisor
from moorage_common.runtime.telemetry import Telemetry
from moorage_downloader.config import DownloaderSettings
from moorage_downloader.library import Library
from moorage_downloader.main import serve
from moorage_downloader.puller import Puller, PullLimits
from moorage_downloader.sources.catalog import SourceCatalog
from moorage_downloader.sources.http_reader import HttpReader
from moorage_downloader.sources.hub import HubSource
from moorage_downloader.sources.hub_limits import bound_hub_library
from moorage_downloader.sources.local import LocalSource
from moorage_downloader.sources.web import WebSource


@pytest.fixture
def hub_root(tmp_path):
    (root := tmp_path / "hub").mkdir()
    return root


@pytest.fixture
async def hub(hub_root):
    async with Hub(hub_root) as hub:
        yield hub


@pytest.fixture
def add_file(hub_root):
    """Puts a file into a repository of the hub."""

    def add(path, content, *, repo="org/model"):
        location = hub_root / repo / path
        location.parent.mkdir(parents=True, exist_ok=True)
        location.write_bytes(content)
        return location

    return add


@pytest.fixture
async def http():
    async with HttpReader(idle_timeout_s=5) as reader:
        yield reader


@pytest.fixture
def new_sources(http, tmp_path):
    """Every scheme, against the given hub."""

    def new(hub, *, token=""):
        bound_hub_library()
        return SourceCatalog(
            hub=HubSource(http, endpoint=hub.url, token=token, timeout_s=5),
            web=WebSource(http),
            local=LocalSource(tmp_path),
        )

    return new


@pytest.fixture
def sources(new_sources, hub):
    return new_sources(hub)


@pytest.fixture
def tiny_model(tmp_path):
    """The bytes of a real model."""
    (path,) = write_tiny_model(tmp_path / "tiny.gguf", TinyModel())
    return path.read_bytes()


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def new_puller(sources):
    """A puller on a store, as impatient as a test."""

    def new(store):
        library = Library(store)
        puller = Puller(
            store=store,
            library=library,
            sources=sources,
            clock=SystemClock(),
            random=Random(0),
            limits=PullLimits(files_at_once=2, backoff=BackoffPolicy(first_s=0.02, cap_s=0.05, floor_s=0.01)),
        )
        return puller, library

    return new


@dataclass(frozen=True)
class RunningDownloader:
    address: str
    client: DownloaderClient


def settings_for(hub, registry_address, cache, port, settings):
    return {
        "listen": f"127.0.0.1:{port}",
        "registry_address": registry_address,
        "cache_dir": str(cache),
        "hf_endpoint": hub.url,
        "drain_grace_s": 1.0,
        "poll_interval_s": 0.5,
        **settings,
    }


@pytest.fixture
def run_downloader(hub, cache, registry, new_port):
    """Starts a downloader in this process, against the test's hub and registry."""

    @asynccontextmanager
    async def run(**settings):
        values = settings_for(hub, registry.address, cache, new_port(), settings)
        telemetry = Telemetry(service="moorage-downloader")
        async with TaskSupervisor() as tasks:
            process = Process(name="moorage-downloader", telemetry=telemetry, tasks=tasks)
            serving = asyncio.create_task(serve(DownloaderSettings(**values), process))
            config = ChannelConfig(target=values["listen"], wait_for_ready=True)
            try:
                async with DownloaderClient.connect(config, telemetry=telemetry) as client:
                    yield RunningDownloader(values["listen"], client)
            finally:
                process.stopping.set()
                await serving

    return run


@pytest.fixture
async def downloader(run_downloader):
    async with run_downloader() as running:
        yield running


@pytest.fixture
def spawn_downloader(hub, cache, registry, new_port):
    """Starts a downloader as a process of its own, to be killed."""

    @asynccontextmanager
    async def spawn(**settings):
        values = settings_for(hub, registry.address, cache, new_port(), settings)
        flags = [f"--{name.replace('_', '-')}={value}" for name, value in values.items()]
        process = await asyncio.create_subprocess_exec(sys.executable, "-m", "moorage_downloader", *flags)
        try:
            yield process
        finally:
            if process.returncode is None:
                os.kill(process.pid, signal.SIGKILL)
            await process.wait()

    return spawn


@pytest.fixture
def new_port():
    def new():
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return probe.getsockname()[1]

    return new


@pytest.fixture
def fleet(registry):
    return Fleet(registry.client)
