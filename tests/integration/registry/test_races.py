"""Two transactions at once, one held half-way: neither may miss what the other does."""

import asyncio
from datetime import timedelta

import asyncpg
import pytest
from fleet_tools import SOURCE

from moorage.registry.v1 import artifact_pb2, artifact_service_pb2, instance_pb2, model_pb2
from moorage_common.core.errors import Aborted, ErrorReason
from moorage_common.core.states import CopyState, DownloadState
from moorage_registry.convert.artifacts import artifact_from_proto
from moorage_registry.convert.events import encode_change
from moorage_registry.core.records import Download, Explained
from moorage_registry.core.reports import InstanceReport
from moorage_registry.core.transitions import InstanceEvent
from moorage_registry.store import copy_reports, downloads, instances, models, placements, pulls, resolutions
from moorage_registry.store.database import Database

TTL = timedelta(seconds=15)
WRONG = {"code": 15, "message": "wrong bytes"}


def ready(agent, artifact_id="a1"):
    return copy_reports.CopyReport(
        artifact_id=artifact_id,
        worker_id=agent.name.removeprefix("workers/"),
        lease_id=agent.lease_id,
        state=CopyState.READY,
        done_bytes=0,
        bytes_per_second=0,
    )


class Held:
    """Runs work in a transaction that ends only when it is told to."""

    def __init__(self, database: Database, work) -> None:
        self._done = asyncio.Event()
        self._end = asyncio.Event()

        async def held(tx):
            result = await work(tx)
            self._done.set()
            await self._end.wait()
            return result

        self._running = asyncio.create_task(database.transact(held))

    async def until_done(self) -> None:
        done = asyncio.create_task(self._done.wait())
        await asyncio.wait({done, self._running}, return_when=asyncio.FIRST_COMPLETED)
        done.cancel()

    async def end(self):
        self._end.set()
        return await self._running


@pytest.fixture
async def store(database):
    made = Database(database.application, encode_event=encode_change)
    yield made
    await made.close()


@pytest.fixture
async def race(store, database):
    """Holds the first transaction at its end until the second waits for it; returns both results."""

    async def run(first, second):
        held = Held(store, first)
        await held.until_done()
        other = asyncio.create_task(store.transact(second))
        watching = await asyncpg.connect(database.superuser)
        waiting = """SELECT count(*) FROM pg_stat_activity
                     WHERE wait_event_type = 'Lock' AND datname = current_database()"""
        async with asyncio.timeout(10):
            while not await watching.fetchval(waiting):
                await asyncio.sleep(0.01)
        await watching.close()
        return await asyncio.gather(held.end(), other, return_exceptions=True)

    return run


def nomination(instance, worker="gpu-01"):
    _, model_id, _, instance_id = instance.name.split("/")
    return placements.Nomination(
        model_id=model_id,
        instance_id=instance_id,
        etag=instance.etag,
        explanation=Explained({}, b""),
        worker_id=worker,
    )


async def one_fetching_one_pending(fleet):
    """An artifact's name, and two instances: one waits for it on gpu-01, the other is not placed yet."""
    await fleet.create(replicas=2)
    artifact = await fleet.resolve_all()
    first, second = await fleet.instances()
    await fleet.nominate((first, "gpu-01"))
    return artifact, second


async def test_an_instance_nominated_while_its_copy_becomes_ready_goes_on(fleet, race):
    async with fleet.agent() as agent:
        _, second = await one_fetching_one_pending(fleet)
        await race(
            lambda tx: placements.nominate(tx, [nomination(second)]),
            lambda tx: copy_reports.take(tx, [ready(agent)]),
        )
        assert {i.state for i in await fleet.instances()} == {instance_pb2.INSTANCE_STATE_FETCHED}


async def test_an_instance_nominated_while_its_pull_fails_tells_why(fleet, race):
    async with fleet.agent():
        _, second = await one_fetching_one_pending(fleet)
        [lease] = await fleet.lease_pulls()
        await race(
            lambda tx: placements.nominate(tx, [nomination(second)]),
            lambda tx: pulls.fail(tx, lease.lease_id, WRONG),
        )
        assert [i.error.message for i in await fleet.instances()] == ["wrong bytes"] * 2


async def create_download(fleet, worker="gpu-01"):
    request = artifact_service_pb2.CreateDownloadRecordRequest(
        download=artifact_pb2.DownloadRecord(source=SOURCE, workers=[f"workers/{worker}"])
    )
    return (await fleet.client.artifacts.CreateDownloadRecord(request)).download


async def all_copies(fleet):
    request = artifact_service_pb2.ListArtifactCopiesRequest(parent="artifacts/-")
    return list((await fleet.client.artifacts.ListArtifactCopies(request)).copies)


def resolve(fleet, lease):
    async def work(tx):
        await resolutions.resolve(tx, lease.lease_id, artifact_from_proto(fleet.artifact(), now=tx.now))

    return work


async def test_a_download_cancelled_while_it_is_resolved_leaves_nothing_wanted(fleet, race):
    await fleet.register()
    made = await create_download(fleet)
    [lease] = await fleet.lease_resolutions()
    download_id = made.name.removeprefix("downloads/")
    _, cancelled = await race(resolve(fleet, lease), lambda tx: downloads.cancel(tx, download_id))
    assert cancelled.state == "CANCELLED"
    assert await all_copies(fleet) == []


async def test_two_sources_that_become_one_artifact_at_once(fleet, race):
    await fleet.create("one")
    await fleet.create("two")
    first, second = await fleet.lease_resolutions()
    await race(resolve(fleet, first), resolve(fleet, second))
    for name in ("one", "two"):
        assert (await fleet.model(name)).resolution.state == model_pb2.RESOLUTION_STATE_RESOLVED


async def test_the_same_download_asked_for_twice_at_once_is_one(fleet, race):
    await fleet.register()

    def create(download_id):
        async def work(tx):
            wanted = Download(
                uid=download_id,
                created_at=tx.now,
                updated_at=tx.now,
                id=download_id,
                source=SOURCE,
                workers=["gpu-01"],
                state=DownloadState.RESOLVING,
            )
            return await downloads.create(tx, wanted)

        return work

    one, two = await race(create("d-1"), create("d-2"))
    assert one.id == two.id


async def test_an_answer_for_a_model_that_is_gone_is_stale(fleet, race):
    await fleet.create()
    [lease] = await fleet.lease_resolutions()
    _, answer = await race(lambda tx: models.remove(tx, "tiny", ""), resolve(fleet, lease))
    assert isinstance(answer, Aborted)
    assert answer.reason is ErrorReason.LEASE_STALE


async def test_a_confirmed_stop_locks_no_memory_before_all_of_its_models_instances(fleet, store, database):
    async with fleet.agent() as agent:
        bound = await fleet.bound(agent)
    await store.transact(lambda tx: _scale(tx, 2))
    sibling = next(i for i in await fleet.instances() if i.uid != bound.uid)
    report = InstanceReport(uid=bound.uid, worker_id="gpu-01", event=InstanceEvent.REPORT_STOPPED)
    holder = await asyncpg.connect(database.owner)
    async with holder.transaction():
        await holder.execute("SELECT 1 FROM instances WHERE uid = $1 FOR UPDATE", sibling.uid)
        reporting = asyncio.create_task(
            store.transact(lambda tx: instances.report(tx, "tiny", bound.name.split("/")[-1], report))
        )
        async with asyncio.timeout(10):
            while not await holder.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
                await asyncio.sleep(0.01)
        await holder.execute("SELECT 1 FROM workers FOR UPDATE NOWAIT")
    await holder.close()
    await reporting


async def _scale(tx, replicas):
    [model] = [m for m in await models.MODELS.find(tx.connection) if m.id == "tiny"]
    return await models.update(tx, models.replace(model, replicas=replicas), ["replicas"], "")
