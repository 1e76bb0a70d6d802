"""The database is killed, refuses, or is not ready yet: callers are told, and everything goes on by itself."""

import asyncio
import re
import shutil
import signal
import socket
import sys
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import asyncpg
import psutil
import pytest
from fleet_tools import Fleet
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from moorage.registry.v1 import instance_pb2, watch_service_pb2, worker_pb2, worker_service_pb2
from moorage_cli.launcher.pgurls import with_database
from moorage_cli.launcher.postgres import EmbeddedPostgres
from moorage_common.core.errors import ErrorReason, MoorageError, Unavailable
from moorage_common.rpc.probe import is_serving
from moorage_common.runtime.telemetry import Telemetry
from moorage_registry import readiness
from moorage_registry.convert.events import encode_change, with_revision
from moorage_registry.store.database import Database, translated
from moorage_registry.store.events import sequence
from moorage_registry.store.failures import cause
from moorage_registry.store.migrate import migrate
from moorage_registry.watch.tail import EventTail


@pytest.fixture
def own_postgres():
    """A server of the test's own, which it may kill."""
    home = Path(tempfile.mkdtemp(prefix="moorage-pg-"))
    # Root's server runs as another user, who must get there.
    home.chmod(0o711)
    server = EmbeddedPostgres(home / "data", port=_free_port(), durable=False)
    server.start()
    yield server
    server.stop()
    shutil.rmtree(home, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def kill(server: EmbeddedPostgres) -> None:
    """What the kernel does when memory is out: the server and all of its children at once."""
    found = [p for p in psutil.process_iter() if _is_of(p, server.data_dir)]
    assert found
    for process in found:
        process.send_signal(signal.SIGKILL)
    psutil.wait_procs(found, timeout=10)


def _is_of(process: psutil.Process, directory: Path) -> bool:
    try:
        return Path(process.cwd()) == directory.resolve()
    except psutil.Error:
        return False


async def until(check):
    async with asyncio.timeout(30):
        while not check():
            await asyncio.sleep(0.05)


async def insist(call):
    """Calls until the registry has its database back."""
    async with asyncio.timeout(30):
        while True:
            try:
                return await call()
            except Unavailable:
                await asyncio.sleep(0.1)


async def until_serving(running):
    """Tables are there a moment before the registry does everything that it does."""
    async with asyncio.timeout(30):
        while not await is_serving(running.address, Telemetry(service="test")):
            await asyncio.sleep(0.05)


async def test_a_killed_database_comes_back_and_everything_goes_on(run_registry, own_postgres, capsys):
    urls = own_postgres.urls
    async with run_registry(database_url=urls.application, migration_database_url=urls.owner) as running:
        fleet = Fleet(running.client)
        await until_serving(running)
        await fleet.register()
        await fleet.create("before")
        watch = running.client.watch.Watch(watch_service_pb2.WatchRequest(initial_state=True))
        names = []

        async def follow():
            async for event in watch:
                names.append(event.model.name)

        following = asyncio.create_task(follow())
        await until(lambda: "models/before" in names)
        kill(own_postgres)
        with pytest.raises(Unavailable) as caught:
            await fleet.model("before")
        assert caught.value.reason is ErrorReason.DATABASE_UNAVAILABLE
        own_postgres.stop()
        await asyncio.to_thread(own_postgres.start)
        await insist(lambda: fleet.create("after"))
        await until(lambda: "models/after" in names)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        assert "[error" not in capsys.readouterr().out
        # Leases are renewed again, and what is wanted reaches the nodes.
        async with fleet.agent() as agent:
            await fleet.resolve_all()
            [instance] = await fleet.instances("after")
            await fleet.nominate((instance, "gpu-01"))
            await agent.until_desired(lambda state: state.copies)
            [instance] = await fleet.instances("after")
            assert instance.state == instance_pb2.INSTANCE_STATE_FETCHING


async def test_an_outage_longer_than_a_lease_costs_no_worker_its_place(
    run_registry, own_postgres, monkeypatch
):
    warned = []
    # A logger of the test's own: what the process logs goes where an earlier test has sent it.
    said = SimpleNamespace(
        info=lambda *_, **__: None, warning=lambda *event, **fields: warned.append((event, fields))
    )
    monkeypatch.setattr(readiness, "log", said)
    urls = own_postgres.urls
    settings = {"database_url": urls.application, "migration_database_url": urls.owner, "lease_ttl_s": 3.0}
    async with run_registry(**settings) as running:
        fleet = Fleet(running.client)
        await until_serving(running)
        await fleet.register()
        async with fleet.agent():
            await fleet.create()
            await fleet.resolve_all()
            [instance] = await fleet.instances()
            await fleet.nominate((instance, "gpu-01"))
            kill(own_postgres)
            own_postgres.stop()
            await asyncio.sleep(3.5)
            [(event, fields)] = warned
            assert event == ("the database is away",)
            assert "Connect" in fields["cause"]
            await asyncio.to_thread(own_postgres.start)
        # Agents take a moment to find their way back; the lease that they had is long over.
        await asyncio.sleep(1.5)
        await insist(fleet.register)
        async with fleet.agent() as agent:
            # Long enough for a lapse, had there been one; the agent beats as agents do.
            for _ in range(5):
                agent.beat()
                await asyncio.sleep(0.6)
            [instance] = await fleet.instances()
            assert instance.state == instance_pb2.INSTANCE_STATE_FETCHING
            assert (await fleet.worker()).state == worker_pb2.WORKER_STATE_READY


async def test_an_agent_is_told_that_the_database_is_away(run_registry, own_postgres):
    urls = own_postgres.urls
    async with run_registry(database_url=urls.application, migration_database_url=urls.owner) as running:
        await until_serving(running)
        registered = await Fleet(running.client).register()
        beat = worker_service_pb2.HeartbeatRequest(worker="workers/gpu-01", lease_id=registered.lease_id)
        beats: asyncio.Queue = asyncio.Queue()

        async def requests():
            while True:
                yield await beats.get()

        beats.put_nowait(beat)
        stream = running.client.workers.Heartbeat(requests())
        async for _ in stream:
            break
        kill(own_postgres)
        beats.put_nowait(beat)
        with pytest.raises(Unavailable) as caught:
            async with asyncio.timeout(20):
                async for _ in stream:
                    pass
        assert caught.value.reason is ErrorReason.DATABASE_UNAVAILABLE


async def test_a_registry_that_starts_before_its_database_says_so_and_waits(run_registry, own_postgres):
    urls = own_postgres.urls
    own_postgres.stop()
    async with run_registry(database_url=urls.application, migration_database_url=urls.owner) as running:
        fleet = Fleet(running.client)
        with pytest.raises(Unavailable) as caught:
            await fleet.model()
        assert caught.value.reason is ErrorReason.DATABASE_UNAVAILABLE
        await asyncio.to_thread(own_postgres.start)
        await insist(fleet.create)


@asynccontextmanager
async def registry_process(url):
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "moorage_registry", "--listen=127.0.0.1:0", f"--database-url={url}"),
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(30):
            yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_why_the_database_is_waited_for_is_said_in_one_line_without_the_password():
    where = f"127.0.0.1:{_free_port()}/moorage"
    async with registry_process(f"postgresql://ada:s3cret@{where}") as process:
        async for line in process.stderr:
            if b"waiting for the database" in line:
                break
        process.terminate()
        rest = await process.stderr.read()
        assert await process.wait() == 0
    assert b"cause='Connection refused'" in line or b'cause="Connection refused: ' in line
    assert f"database={where}".encode() in line
    assert b"s3cret" not in line + rest


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda url: re.sub("//.*@", "//ada:s3cret@", url), 'password authentication failed for user "ada"'),
        (lambda url: with_database(url, "nowhere"), 'database "nowhere" does not exist'),
    ],
)
async def test_what_the_database_refuses_is_said_in_one_line(postgres, change, why):
    async with registry_process(change(postgres.superuser)) as process:
        said = (await process.stderr.read()).decode()
        assert await process.wait() == 1
    assert said.splitlines()[-1].startswith(f"moorage-registry: the database refuses the registry: {why}")
    assert "s3cret" not in said


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (
            ConnectionRefusedError(111, "Connect call failed ('::1', 1)"),
            "Connection refused: Connect call failed ('",
        ),
        (FileNotFoundError(2, "No such file or directory"), "No such file or directory"),
        (socket.gaierror(-2, "Name or service not known"), "Name or service not known"),
        (ConnectionError("rejected SSL upgrade"), "rejected SSL upgrade"),
        (TimeoutError(), "no answer in time"),
        (
            asyncpg.CannotConnectNowError("the database system is starting up"),
            "the database system is starting up",
        ),
        (asyncpg.TooManyConnectionsError("sorry, too many\n  clients"), "sorry, too many clients"),
        (PoolTimeoutError("no connection is free", code="3o7r"), "no connection is free"),
    ],
)
def test_the_cause_of_an_outage_is_one_line(raised, said):
    with pytest.raises(Unavailable) as caught, translated():
        raise raised
    assert cause(caught.value).startswith(said)
    assert "\n" not in cause(caught.value)


async def test_the_cause_that_is_wrapped_is_found():
    with pytest.raises(Unavailable) as caught:
        await migrate("postgresql://127.0.0.1/moorage?sslmode=nonsense")
    assert cause(caught.value).startswith("`sslmode` parameter must be one of: disable, ")


async def test_tables_that_are_not_there_yet_are_no_defect(own_postgres):
    store = Database(own_postgres.urls.application, encode_event=encode_change)
    with pytest.raises(Unavailable, match="preparing"):
        async with store.read() as connection:
            await sequence(connection, 1)
    await store.close()


async def test_a_password_that_is_refused_is_said_in_one_line(postgres):
    wrong = postgres.owner.replace("://", "://nobody-").rpartition("/")[0] + "/nowhere"
    with pytest.raises(MoorageError, match="refuses the registry"):
        await migrate(wrong)


async def test_the_database_url_may_say_what_asyncpg_understands(database):
    store = Database(f"{database.application}?sslmode=prefer", encode_event=encode_change)
    await store.ping()
    await store.close()


async def test_a_tail_that_missed_what_was_compacted_starts_over(database):
    store = Database(database.application, encode_event=encode_change)
    writer = await asyncpg.connect(database.owner)

    async def put(*revisions):
        for revision in revisions:
            await writer.execute(
                "INSERT INTO events VALUES ($1, 'MODEL', '{}', $2, now(), 'models/m')",
                revision,
                b"%d" % revision,
            )
        await writer.execute("UPDATE watch_state SET revision = $1", revisions[-1])

    async def run_until(revision):
        running = asyncio.create_task(tail.run())
        async with asyncio.timeout(10):
            while tail.revision < revision:
                await asyncio.sleep(0.01)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    tail = EventTail(store, database.application, finish=with_revision)
    await run_until(0)
    await put(1, 2, 3)
    await run_until(3)
    await writer.execute("DELETE FROM events")
    await put(8, 9)
    await writer.execute("UPDATE watch_state SET compacted = 7")
    await run_until(9)
    async for advance in tail.follow(7):
        assert [event.revision for event in advance.events] == [8, 9]
        break
    await writer.close()
    await store.close()
