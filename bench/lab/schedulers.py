"""Schedulers as processes of their own."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from lab.postgres import free_port
from lab.registries import TELEMETRY
from moorage_common.rpc.probe import is_serving


@asynccontextmanager
async def schedulers(registry_address: str, home: Path, count: int) -> AsyncIterator[list[str]]:
    """So many schedulers of one registry, serving. Gives their addresses."""
    addresses = [f"127.0.0.1:{free_port()}" for _ in range(count)]
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for number, address in enumerate(addresses):
            environment = {
                **os.environ,
                "MOORAGE_SCHEDULER_LISTEN": address,
                "MOORAGE_SCHEDULER_REGISTRY_ADDRESS": registry_address,
                "MOORAGE_SCHEDULER_LOG_LEVEL": "warning",
            }
            with (home / f"scheduler-{number}.log").open("ab") as log:
                argv = [sys.executable, "-m", "moorage_scheduler"]
                processes.append(subprocess.Popen(argv, env=environment, stdout=log, stderr=log))
        deadline = time.monotonic() + 60
        for number, address in enumerate(addresses):
            while not await is_serving(address, TELEMETRY):
                if time.monotonic() > deadline:
                    sys.exit((home / f"scheduler-{number}.log").read_text() or "a scheduler did not start")
                await asyncio.sleep(0.05)
        yield addresses
    finally:
        for process in processes:
            process.kill()
            process.wait()
