"""Registries as processes of their own, which can be killed."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from lab.postgres import free_port
from moorage_cli.launcher.pgurls import PostgresUrls
from moorage_common.rpc.channels import ChannelConfig
from moorage_common.rpc.clients import RegistryClient
from moorage_common.rpc.probe import is_serving
from moorage_common.runtime.telemetry import Telemetry

TELEMETRY = Telemetry(service="bench")


@dataclass
class Registry:
    """One registry process."""

    urls: PostgresUrls
    log: Path
    settings: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def start(self) -> None:
        environment = {
            **os.environ,
            "MOORAGE_REGISTRY_LISTEN": self.address,
            "MOORAGE_REGISTRY_DATABASE_URL": self.urls.application,
            "MOORAGE_REGISTRY_MIGRATION_DATABASE_URL": self.urls.owner,
            "MOORAGE_REGISTRY_LOG_LEVEL": "warning",
            **{f"MOORAGE_REGISTRY_{name.upper()}": value for name, value in self.settings.items()},
        }
        with self.log.open("ab") as log:
            argv = [sys.executable, "-m", "moorage_registry"]
            self.process = subprocess.Popen(argv, env=environment, stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while not await is_serving(self.address, TELEMETRY):
            if self.process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"the registry did not start:\n{self.log.read_text()}")
            await asyncio.sleep(0.05)

    def kill(self) -> None:
        """Ends it without warning."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    @property
    def rss_mb(self) -> float:
        """Resident memory, in MB (10^6 bytes)."""
        assert self.process is not None
        return psutil.Process(self.process.pid).memory_info().rss / 1e6

    @property
    def cpu_s(self) -> float:
        """Seconds of processor time that it has taken."""
        assert self.process is not None
        times = psutil.Process(self.process.pid).cpu_times()
        return times.user + times.system

    def client(self) -> RegistryClient:
        return RegistryClient.connect(ChannelConfig(target=self.address), telemetry=TELEMETRY)


@asynccontextmanager
async def registries(
    urls: PostgresUrls, home: Path, count: int, **settings: str
) -> AsyncIterator[list[Registry]]:
    """So many registries on one database, serving."""
    started = [
        Registry(urls, home / f"registry-{number}.log", settings=dict(settings)) for number in range(count)
    ]
    try:
        for registry in started:
            await registry.start()
        yield started
    finally:
        for registry in started:
            registry.kill()
