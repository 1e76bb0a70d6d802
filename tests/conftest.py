"""What every test can ask for: a real PostgreSQL, a database of its own, a registry that serves on it."""

import asyncio
import os
import secrets
import shutil
import signal
import socket
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

import asyncpg
import pytest

from moorage_cli.launcher.pgurls import PostgresUrls, with_database
from moorage_cli.launcher.postgres import EmbeddedPostgres
from moorage_common.core.backoff import BackoffPolicy
from moorage_common.rpc.channels import ChannelConfig
from moorage_common.rpc.clients import RegistryClient
from moorage_common.runtime.service import Process
from moorage_common.runtime.tasks import TaskSupervisor
from moorage_common.runtime.telemetry import Telemetry
from moorage_registry.config import RegistrySettings
from moorage_registry.main import serve
from moorage_registry.store.migrate import migrate


def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def pytest_configure() -> None:
    """Lets interrupts reach the processes that tests start: a shell that runs `make test &` has them ignored."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresUrls]:
    """A server: that of MOORAGE_TEST_DATABASE_URL (a role that may create databases), or the wheel's."""
    given = os.environ.get("MOORAGE_TEST_DATABASE_URL")
    if given:
        yield PostgresUrls(superuser=given, owner=given, application=given)
        return
    directory = Path(tempfile.mkdtemp(prefix="moorage-pg-"))
    directory.chmod(0o711)
    server = EmbeddedPostgres(directory / "data", port=free_port(), durable=False)
    try:
        yield server.start()
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def template_database(postgres: PostgresUrls) -> Iterator[str]:
    """A migrated database that the tests' own are copied from."""
    name = f"moorage_template_{secrets.token_hex(4)}"

    async def make() -> None:
        await _administer(postgres, f'CREATE DATABASE {name} OWNER "{_role(postgres.owner)}"')
        await migrate(with_database(postgres.owner, name))

    asyncio.run(make())
    yield name
    asyncio.run(_administer(postgres, f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
async def database(postgres: PostgresUrls, template_database: str) -> AsyncIterator[PostgresUrls]:
    """A database of the test's own, migrated and empty."""
    name = f"moorage_test_{secrets.token_hex(6)}"
    owner = _role(postgres.owner)
    await _administer(postgres, f'CREATE DATABASE {name} TEMPLATE {template_database} OWNER "{owner}"')
    yield PostgresUrls(
        superuser=with_database(postgres.superuser, name),
        owner=with_database(postgres.owner, name),
        application=with_database(postgres.application, name),
    )
    await _administer(postgres, f"DROP DATABASE {name} WITH (FORCE)")


@dataclass(frozen=True, slots=True)
class RunningRegistry:
    """A registry that serves."""

    address: str
    client: RegistryClient
    stop: Callable[[], None]
    """Tells it to drain and end, as SIGTERM does."""


RunRegistry = Callable[..., AbstractAsyncContextManager[RunningRegistry]]


@pytest.fixture
def run_registry(database: PostgresUrls) -> RunRegistry:
    """Starts a registry in this process, on the test's database, with other settings where given."""

    @asynccontextmanager
    async def run(**settings: object) -> AsyncIterator[RunningRegistry]:
        address = str(settings.get("listen", f"127.0.0.1:{free_port()}"))
        values: dict[str, object] = {
            "listen": address,
            "database_url": database.application,
            "migration_database_url": database.owner,
            "drain_grace_s": 1.0,
            **settings,
        }
        async with TaskSupervisor(backoff=BackoffPolicy(), random=Random(0)) as tasks:
            telemetry = Telemetry(service="moorage-registry")
            process = Process(name="moorage-registry", telemetry=telemetry, tasks=tasks)
            serving = asyncio.create_task(serve(RegistrySettings(**values), process))  # type: ignore[arg-type]
            config = ChannelConfig(target=address, wait_for_ready=True)
            try:
                async with RegistryClient.connect(config, telemetry=telemetry) as client:
                    yield RunningRegistry(address, client, process.stopping.set)
            finally:
                # As a signal does: one that has not come so far as to serve is cancelled.
                process.stop(serving)
                with suppress(asyncio.CancelledError):
                    await serving

    return run


@pytest.fixture
async def registry(run_registry: RunRegistry) -> AsyncIterator[RunningRegistry]:
    """A registry that serves on the test's database."""
    async with run_registry() as running:
        yield running


async def _administer(postgres: PostgresUrls, statement: str) -> None:
    connection = await asyncpg.connect(postgres.superuser)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def _role(url: str) -> str:
    return url.split("://", 1)[1].split(":", 1)[0]
