"""The systemd units start their services, with the examples that lie beside them: all but where things are is as it
is on a node."""

import asyncio
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from deploy_files import SETTINGS, example_environment, unit_of, unit_settings

from moorage_cli.launcher.pgurls import PostgresUrls
from moorage_common.core.address import Address
from moorage_common.rpc.probe import is_serving
from moorage_common.runtime.telemetry import Telemetry

BIN = Path(sys.executable).parent
StartUnit = Callable[..., AbstractAsyncContextManager["RunningUnit"]]


class RunningUnit:
    """A unit's main process."""

    def __init__(self, process: asyncio.subprocess.Process, address: str, directory: Path) -> None:
        self.process = process
        self.address = address
        self.directory = directory

    async def until_serving(self) -> None:
        async with asyncio.timeout(60):
            while not await is_serving(self.address, Telemetry(service="test")):
                assert self.process.returncode is None, "it ended"
                await asyncio.sleep(0.1)


def free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(Address("127.0.0.1", probe.getsockname()[1]))


@pytest.fixture
def start_unit(tmp_path: Path) -> StartUnit:
    """Starts a unit's program with its environment, and with other values for what the example names."""

    @asynccontextmanager
    async def start(service: str, **values: str) -> AsyncIterator[RunningUnit]:
        unit = unit_settings(unit_of(service))
        assert unit["EnvironmentFile"] == [f"/etc/moorage/{service}.env"]
        environment = dict(line.split("=", 1) for line in unit.get("Environment", []))
        environment |= example_environment(service)
        prefix = f"MOORAGE_{service.upper()}_"
        given = {prefix + name.upper(): value for name, value in {"listen": free_address(), **values}.items()}
        assert given.keys() <= environment.keys(), "the example does not name what has to be said"
        moved = {name: value.replace("/var/lib", str(tmp_path)) for name, value in environment.items()}
        for name in " ".join(unit.get("StateDirectory", [])).split():
            (tmp_path / name).mkdir()
        directory = tmp_path / f"{service}-starts-here"
        directory.mkdir()
        (command,) = unit["ExecStart"]
        process = await asyncio.create_subprocess_exec(
            *command.replace("/opt/moorage/bin/", f"{BIN}/").split(),
            env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", **moved, **given},
            cwd=directory,
        )
        try:
            yield RunningUnit(process, given[f"{prefix}LISTEN"], directory)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    return start


@asynccontextmanager
async def registry_unit(start_unit: StartUnit, database: PostgresUrls) -> AsyncIterator[RunningUnit]:
    urls = {"database_url": database.application, "migration_database_url": database.owner}
    async with start_unit("registry", **urls) as registry:
        await registry.until_serving()
        yield registry


async def ends_cleanly(unit: RunningUnit) -> None:
    unit.process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(unit.process.wait(), 30) == 0
    # systemd starts services in the root directory, which they cannot write to.
    assert list(unit.directory.iterdir()) == []


async def test_the_registrys_unit_serves_and_ends(start_unit: StartUnit, database: PostgresUrls) -> None:
    async with registry_unit(start_unit, database) as registry:
        await ends_cleanly(registry)


@pytest.mark.parametrize("service", [name for name in SETTINGS if name != "registry"])
async def test_a_unit_finds_the_registry_serves_and_ends(
    service: str, start_unit: StartUnit, database: PostgresUrls
) -> None:
    async with (
        registry_unit(start_unit, database) as registry,
        start_unit(service, registry_address=registry.address) as unit,
    ):
        await unit.until_serving()
        await ends_cleanly(unit)
        await ends_cleanly(registry)


async def test_what_keeps_state_keeps_it_where_the_unit_lets_it(
    start_unit: StartUnit, database: PostgresUrls, tmp_path: Path
) -> None:
    async with registry_unit(start_unit, database) as registry:
        for service in ("downloader", "agent"):
            async with start_unit(service, registry_address=registry.address) as unit:
                await unit.until_serving()
            kept = {path.name for path in (tmp_path / f"moorage-{service}").iterdir()} - {"tmp"}
            assert kept, service
