"""The informer against a registry's watch that tells what the test writes."""

import asyncio
from random import Random

import pytest

from moorage.registry.v1.model_pb2 import Model
from moorage.registry.v1.watch_service_pb2 import ResourceKind, WatchOperation, WatchResponse
from moorage.registry.v1.worker_pb2 import Worker
from moorage_common.core.backoff import BackoffPolicy
from moorage_common.core.errors import ErrorReason, OutOfRange, ResourceExhausted, Unavailable
from moorage_common.rpc.informer import Informer
from moorage_common.rpc.server import ServerConfig
from moorage_common.runtime.tasks import TaskSupervisor

CURRENT = WatchOperation.WATCH_OPERATION_CURRENT
CREATED = WatchOperation.WATCH_OPERATION_CREATED
UPDATED = WatchOperation.WATCH_OPERATION_UPDATED
DELETED = WatchOperation.WATCH_OPERATION_DELETED
FAST = BackoffPolicy(first_s=0.001, cap_s=0.01, floor_s=0)


def bookmark(revision):
    return WatchResponse(operation=WatchOperation.WATCH_OPERATION_BOOKMARK, revision=revision)


def worker(name, version, *, operation=CURRENT, revision=0, uid="u1"):
    resource = Worker(name=f"workers/{name}", uid=uid, version=version)
    return WatchResponse(operation=operation, revision=revision, worker=resource)


class Registry:
    """Plays one script for each time that somebody watches; the last one stays open."""

    def __init__(self, *scripts):
        self.scripts = list(scripts)
        self.requests = []
        self.more: asyncio.Queue[WatchResponse] = asyncio.Queue()

    async def watch(self, request, context):
        self.requests.append(request)
        for step in self.scripts.pop(0) if self.scripts else ():
            if isinstance(step, Exception):
                raise step
            yield step
        while True:
            yield await self.more.get()


@pytest.fixture
async def follow(mesh):
    async with TaskSupervisor() as tasks:

        async def start(registry, **options):
            client = await mesh.connect(await mesh.serve(Watch=registry.watch))
            informer = Informer(client.watch, backoff=FAST, random=Random(1), **options)
            tasks.start("informer", informer.run)
            return informer

        yield start


async def test_the_first_state_shows_whole_or_not_at_all(follow):
    registry = Registry([worker("a", 1), worker("b", 1)])
    informer = await follow(registry)
    while not registry.requests:
        await asyncio.sleep(0)
    assert not informer.synced
    assert informer.snapshot().workers == {}
    registry.more.put_nowait(bookmark(5))
    await informer.wait_synced()
    snapshot = informer.snapshot()
    assert set(snapshot.workers) == {"workers/a", "workers/b"}
    assert (snapshot.revision, snapshot.generation) == (5, 1)
    assert registry.requests[0].initial_state


async def test_changes_arrive_and_snapshots_taken_before_stay_as_they_were(follow):
    registry = Registry([worker("a", 1), bookmark(5)])
    informer = await follow(registry)
    generation = await informer.changed(since=0)
    before = informer.snapshot()
    registry.more.put_nowait(worker("a", 2, operation=UPDATED, revision=6))
    generation = await informer.changed(since=generation)
    assert informer.snapshot().workers["workers/a"].version == 2
    assert before.workers["workers/a"].version == 1
    registry.more.put_nowait(worker("a", 2, operation=DELETED, revision=7))
    await informer.changed(since=generation)
    assert informer.snapshot().workers == {}


async def test_a_broken_stream_is_taken_up_from_the_last_revision(follow):
    draining = Unavailable("going away", reason=ErrorReason.SERVER_DRAINING)
    busy = ResourceExhausted("busy", reason=ErrorReason.SERVER_BUSY)
    registry = Registry(
        [worker("a", 1), bookmark(5), worker("a", 2, operation=UPDATED, revision=6), draining],
        [worker("a", 3, operation=UPDATED, revision=8), busy],
        [worker("b", 1, operation=CREATED, revision=9, uid="u2")],
    )
    informer = await follow(registry)
    while "workers/b" not in informer.snapshot().workers:
        await informer.changed(since=informer.snapshot().generation)
    assert [(request.initial_state, request.after_revision) for request in registry.requests] == [
        (True, 0),
        (False, 6),
        (False, 8),
    ]
    assert informer.snapshot().workers["workers/a"].version == 3


async def test_a_compacted_revision_makes_it_read_the_whole_state_again(follow):
    registry = Registry(
        [worker("a", 1), worker("gone", 1, uid="u2"), bookmark(5), Unavailable("away")],
        [OutOfRange("compacted")],
        [worker("a", 9), bookmark(50)],
    )
    informer = await follow(registry)
    while informer.snapshot().revision != 50:
        await informer.changed(since=informer.snapshot().generation)
    assert [request.initial_state for request in registry.requests] == [True, False, True]
    workers = informer.snapshot().workers
    assert {name: resource.version for name, resource in workers.items()} == {"workers/a": 9}


async def test_a_first_state_that_breaks_off_is_begun_anew(follow):
    registry = Registry(
        [worker("a", 1), worker("never-again", 1), Unavailable("away")],
        [worker("a", 1), bookmark(5)],
    )
    informer = await follow(registry)
    await informer.wait_synced()
    assert set(informer.snapshot().workers) == {"workers/a"}


async def test_events_older_than_what_is_held_change_nothing(follow):
    registry = Registry(
        [
            worker("a", 7),
            bookmark(5),
            worker("a", 6, operation=UPDATED, revision=6),
            worker("a", 9, operation=DELETED, revision=7, uid="an earlier worker a"),
            WatchResponse(operation=CREATED, revision=8, model=Model(name="models/m", version=1)),
        ]
    )
    informer = await follow(registry)
    while "models/m" not in informer.snapshot().models:
        await informer.changed(since=informer.snapshot().generation)
    snapshot = informer.snapshot()
    assert snapshot.workers["workers/a"].version == 7
    assert (snapshot.revision, snapshot.generation) == (8, 2)


async def test_it_waits_for_a_registry_that_is_not_there_yet(mesh, unused_tcp_port):
    address = f"127.0.0.1:{unused_tcp_port}"
    client = await mesh.connect(address)
    informer = Informer(client.watch, kinds=[ResourceKind.RESOURCE_KIND_WORKER], backoff=FAST)
    registry = Registry([bookmark(1)])
    async with TaskSupervisor() as tasks:
        tasks.start("informer", informer.run)
        await mesh.serve(ServerConfig(listen=address), Watch=registry.watch)
        await informer.wait_synced()
    assert list(registry.requests[0].kinds) == [ResourceKind.RESOURCE_KIND_WORKER]
