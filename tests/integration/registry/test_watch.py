"""The watch: every change, in order, once, whoever sequences and however often a watcher breaks off."""

import asyncio

import asyncpg
import grpc
import pytest
from fleet_tools import Fleet

from moorage.registry.v1 import model_pb2, model_service_pb2, watch_service_pb2, watch_service_pb2_grpc
from moorage_common.core.errors import (
    ErrorReason,
    InvalidArgument,
    OutOfRange,
    ResourceExhausted,
    Unavailable,
)
from moorage_common.rpc.status import from_rpc_error
from moorage_registry.convert.events import encode_change
from moorage_registry.store.database import Database
from moorage_registry.store.events import sequence
from moorage_registry.watch.tail import EventTail

pb = watch_service_pb2


async def events(client, count, **request):
    """The first events of a watch."""
    found = []
    call = client.watch.Watch(pb.WatchRequest(**request))
    async with asyncio.timeout(20):
        async for event in call:
            found.append(event)
            if len(found) == count:
                break
    call.cancel()
    return found


@pytest.fixture
def present(database):
    """The newest revision, once everything that was committed has one."""

    async def read() -> int:
        connection = await asyncpg.connect(database.owner)
        try:
            async with asyncio.timeout(10):
                while await connection.fetchval("SELECT count(*) FROM outbox"):
                    await asyncio.sleep(0.01)
            return await connection.fetchval("SELECT revision FROM watch_state")
        finally:
            await connection.close()

    return read


async def until_bookmark(client, **request):
    found = []
    call = client.watch.Watch(pb.WatchRequest(initial_state=True, **request))
    async with asyncio.timeout(20):
        async for event in call:
            found.append(event)
            if event.operation == pb.WATCH_OPERATION_BOOKMARK:
                break
    call.cancel()
    return found


async def relabel(client, model_id, value):
    await client.models.UpdateModel(
        model_service_pb2.UpdateModelRequest(
            model=model_pb2.Model(name=f"models/{model_id}", labels={"n": str(value)}),
            update_mask={"paths": ["labels"]},
        )
    )


async def test_a_watcher_sees_what_happens_to_a_model(fleet, registry, present):
    await fleet.create("first")
    start = await present()
    await fleet.create("second")
    await fleet.delete("second")
    seen = await events(registry.client, 4, after_revision=start)
    assert [event.revision for event in seen] == list(range(start + 1, start + 5))
    assert [(event.WhichOneof("resource"), event.operation) for event in seen] == [
        ("model", pb.WATCH_OPERATION_CREATED),
        ("instance", pb.WATCH_OPERATION_CREATED),
        ("instance", pb.WATCH_OPERATION_DELETED),
        ("model", pb.WATCH_OPERATION_DELETED),
    ]


async def test_in_batches_the_same_comes_in_fewer_responses(fleet, registry, present):
    await fleet.create("many", replicas=50)
    start = await present()
    await fleet.create("more", replicas=50)
    single = await events(registry.client, 51, after_revision=start)
    batched, responses = [], 0
    call = registry.client.watch.Watch(pb.WatchRequest(after_revision=start, max_batch=20))
    async with asyncio.timeout(20):
        async for response in call:
            assert response == pb.WatchResponse(events=response.events)
            assert len(response.events) <= 20
            batched, responses = batched + list(response.events), responses + 1
            if len(batched) == 51:
                break
    call.cancel()
    assert batched == single
    assert responses == 3
    state = await until_bookmark(registry.client)
    call = registry.client.watch.Watch(pb.WatchRequest(initial_state=True, max_batch=1000))
    async with asyncio.timeout(20):
        first, second = await call.read(), await call.read()
    call.cancel()
    assert [*first.events, *second.events] == state


async def test_the_initial_state_ends_with_a_bookmark_and_goes_on_with_changes(fleet, registry, present):
    await fleet.create("one")
    await fleet.create("two")
    await present()
    found = await until_bookmark(registry.client, kinds=[pb.RESOURCE_KIND_MODEL])
    assert [event.model.name for event in found[:-1]] == ["models/one", "models/two"]
    assert {event.operation for event in found[:-1]} == {pb.WATCH_OPERATION_CURRENT}
    resume = found[-1].revision
    await relabel(registry.client, "one", 1)
    [change] = await events(registry.client, 1, after_revision=resume, kinds=[pb.RESOURCE_KIND_MODEL])
    assert change.operation == pb.WATCH_OPERATION_UPDATED
    assert dict(change.model.labels) == {"n": "1"}


async def test_an_initial_state_is_ahead_of_the_changes_that_follow_it(fleet, registry, database, present):
    """What the proto tells callers to expect, and the rule that it gives them."""
    for name in ("changed", "deleted"):
        await fleet.create(name, desired_state=model_pb2.DESIRED_STATE_STOPPED)
    await present()
    # Whoever holds this lock keeps changes from getting revisions.
    holder = await asyncpg.connect(database.owner)
    transaction = holder.transaction()
    await transaction.start()
    await holder.execute("SELECT FROM watch_state FOR UPDATE")
    await relabel(registry.client, "changed", 1)
    await relabel(registry.client, "changed", 2)
    await fleet.delete("deleted")
    await fleet.create("created", desired_state=model_pb2.DESIRED_STATE_STOPPED)
    call = registry.client.watch.Watch(pb.WatchRequest(initial_state=True, kinds=[pb.RESOURCE_KIND_MODEL]))
    found, held = [], {}
    async with asyncio.timeout(20):
        async for event in call:
            if event.operation == pb.WATCH_OPERATION_BOOKMARK:
                await transaction.rollback()
            else:
                found.append((event.operation, event.model.name.removeprefix("models/")))
            if event.operation == pb.WATCH_OPERATION_CURRENT:
                held[event.model.name] = event.model
            elif event.operation != pb.WATCH_OPERATION_BOOKMARK:
                copy = held.get(event.model.name)
                ours = copy is not None and copy.uid == event.model.uid
                stale = ours and copy.version >= event.model.version
                assert stale or (event.operation == pb.WATCH_OPERATION_DELETED and not ours)
            if found[-1:] == [(pb.WATCH_OPERATION_CREATED, "created")]:
                break
    call.cancel()
    await holder.close()
    assert found == [
        (pb.WATCH_OPERATION_CURRENT, "changed"),
        (pb.WATCH_OPERATION_CURRENT, "created"),
        (pb.WATCH_OPERATION_UPDATED, "changed"),
        (pb.WATCH_OPERATION_UPDATED, "changed"),
        (pb.WATCH_OPERATION_DELETED, "deleted"),
        (pb.WATCH_OPERATION_CREATED, "created"),
    ]


async def test_revisions_are_consecutive_and_changes_of_one_object_in_order(fleet, registry, present):
    for name in ("a", "b", "c"):
        await fleet.create(name, desired_state=model_pb2.DESIRED_STATE_STOPPED)
    start = await present()
    watching = asyncio.create_task(
        events(registry.client, 60, after_revision=start, kinds=[pb.RESOURCE_KIND_MODEL])
    )
    for value in range(20):
        await asyncio.gather(*(relabel(registry.client, name, value) for name in ("a", "b", "c")))
    seen = await watching
    assert [event.revision for event in seen] == list(range(start + 1, start + 61))
    for name in ("a", "b", "c"):
        mine = [event.model for event in seen if event.model.name == f"models/{name}"]
        assert [dict(model.labels)["n"] for model in mine] == [str(value) for value in range(20)]
        versions = [model.version for model in mine]
        assert versions == sorted(versions)


async def test_two_replicas_show_the_same_order_and_the_second_takes_over(run_registry, present):
    async with run_registry() as first:
        fleet = Fleet(first.client)
        await fleet.create("a", desired_state=model_pb2.DESIRED_STATE_STOPPED)
        async with run_registry() as second:
            start = await present()
            for value in range(5):
                await relabel(first.client, "a", value)
                await relabel(second.client, "a", value + 100)
            here = await events(first.client, 10, after_revision=start)
            there = await events(second.client, 10, after_revision=start)
            assert here == there
            resume = here[-1].revision
        async with run_registry() as third:
            await relabel(third.client, "a", 1000)
            [after] = await events(third.client, 1, after_revision=resume)
            assert after.revision == resume + 1
    async with run_registry() as alone:
        await relabel(alone.client, "a", 2000)
        [last] = await events(alone.client, 1, after_revision=resume + 1)
        assert dict(last.model.labels) == {"n": "2000"}


async def test_a_revision_that_is_compacted_or_never_was_is_out_of_range(fleet, registry, database, present):
    await fleet.create()
    newest = await present()
    connection = await asyncpg.connect(database.owner)
    await connection.execute("DELETE FROM events WHERE revision <= 2")
    await connection.execute("UPDATE watch_state SET compacted = 2")
    await connection.close()
    with pytest.raises(OutOfRange) as caught:
        await events(registry.client, 1, after_revision=newest + 1000)
    assert caught.value.reason is ErrorReason.REVISION_COMPACTED
    assert caught.value.metadata == {"oldest": "2", "newest": str(newest)}


async def test_a_watch_begins_in_one_way(registry):
    with pytest.raises(InvalidArgument):
        await events(registry.client, 1, after_revision=5, initial_state=True)


async def test_a_registry_that_goes_away_ends_its_watches_itself(run_registry):
    async with run_registry() as running:
        call = running.client.watch.Watch(pb.WatchRequest(initial_state=True))
        async for event in call:
            if event.operation == pb.WATCH_OPERATION_BOOKMARK:
                break
        running.stop()
        with pytest.raises(Unavailable) as caught:
            async for _ in call:
                pass
        assert caught.value.reason is ErrorReason.SERVER_DRAINING


async def test_the_error_of_a_drain_says_from_where_to_go_on(run_registry, present):
    async with run_registry() as running:
        await Fleet(running.client).create()
        newest = await present()
        call = running.client.watch.Watch(
            pb.WatchRequest(initial_state=True, kinds=[pb.RESOURCE_KIND_DOWNLOAD])
        )
        async for event in call:
            assert event.operation == pb.WATCH_OPERATION_BOOKMARK
            break
        # Nothing of what it chose happens: without the error it would not know that it has come further.
        await relabel(running.client, "tiny", 1)
        later = await present()
        assert later > newest
        await asyncio.sleep(0.3)
        running.stop()
        with pytest.raises(Unavailable) as caught:
            async for _ in call:
                pass
        assert caught.value.metadata == {"resume_after_revision": str(later)}


async def test_only_what_was_named_is_shown(fleet, registry, present):
    for name in ("a", "b", "c"):
        await fleet.create(name, replicas=2)
    start = await present()
    names = ["models/a", "models/b/instances/-"]
    current = (await until_bookmark(registry.client, names=names))[:-1]
    shown = sorted(event.model.name or event.instance.name.rpartition("/")[0] for event in current)
    assert shown == ["models/a", "models/b/instances", "models/b/instances"]
    await relabel(registry.client, "b", 1)
    await relabel(registry.client, "a", 1)
    await fleet.stop("b")
    seen = await events(registry.client, 3, after_revision=start, names=names)
    assert [event.WhichOneof("resource") for event in seen] == ["model", "instance", "instance"]
    assert seen[0].model.name == "models/a"


async def test_names_that_nothing_can_have_are_all_said(registry):
    with pytest.raises(InvalidArgument) as caught:
        await events(registry.client, 1, names=["models/a", "model/a", "models/a/instances"])
    assert [violation.field for violation in caught.value.violations] == ["names[1]", "names[2]"]


async def test_a_watcher_of_quiet_things_is_told_how_far_it_is(fleet, registry, present):
    await fleet.create()
    start = await present()
    await relabel(registry.client, "tiny", 1)
    later = await present()
    [progress] = await events(
        registry.client,
        1,
        after_revision=start,
        kinds=[pb.RESOURCE_KIND_DOWNLOAD],
        progress_interval={"seconds": 1},
    )
    assert progress.operation == pb.WATCH_OPERATION_BOOKMARK
    assert progress.revision == later > start


async def test_more_watchers_than_the_server_takes_are_told_when_to_come_again(run_registry):
    # More than gRPC itself would let wait, which it would cancel without a word.
    asked, taken = 3_500, 100
    async with (
        run_registry(max_watchers=taken) as running,
        grpc.aio.insecure_channel(running.address) as channel,
    ):
        await Fleet(running.client).create()
        stub = watch_service_pb2_grpc.WatchServiceStub(channel)
        request = pb.WatchRequest(initial_state=True, kinds=[pb.RESOURCE_KIND_DOWNLOAD])

        async def first(call):
            try:
                return (await call.read()).operation
            except grpc.aio.AioRpcError as error:
                return from_rpc_error(error)

        calls = [stub.Watch(request) for _ in range(asked)]
        found = await asyncio.gather(*map(first, calls))
        refused = [each for each in found if isinstance(each, ResourceExhausted)]
        assert len(refused) == asked - taken, {str(each) for each in found}
        assert {error.reason for error in refused} == {ErrorReason.SERVER_BUSY}
        assert all(error.retry_after_s for error in refused)
        assert set(found) - set(refused) == {pb.WATCH_OPERATION_BOOKMARK}
        # A place that is free again is given away.
        for call in calls:
            call.cancel()
        async with asyncio.timeout(10):
            while await first(stub.Watch(request)) != pb.WATCH_OPERATION_BOOKMARK:
                await asyncio.sleep(0.1)


async def test_several_at_once_who_sequence_keep_the_order(database):
    """The lock of a leader may be lost without its noticing: what keeps the order must not depend on it."""
    store = Database(database.application, encode_event=encode_change, pool_size=12)
    writer = await asyncpg.connect(database.owner)
    await writer.execute(
        "INSERT INTO watch_state VALUES (1, 0, 0) ON CONFLICT (id) DO UPDATE SET revision = 0, compacted = 0"
    )
    done = asyncio.Event()

    async def write(name):
        connection = await asyncpg.connect(database.owner)
        for turn in range(100):
            await connection.execute(
                "INSERT INTO outbox (kind, name, worker_ids, event) VALUES ('MODEL', $1, '{}', $2)",
                name,
                b"%d" % turn,
            )
        await connection.close()

    async def lead():
        while not done.is_set():
            async with store.alone() as connection:
                await sequence(connection, 7)

    leaders = [asyncio.create_task(lead()) for _ in range(4)]
    await asyncio.gather(*(write(f"models/m{number}") for number in range(5)))
    async with asyncio.timeout(20):
        while await writer.fetchval("SELECT count(*) FROM outbox"):
            await asyncio.sleep(0.01)
    done.set()
    await asyncio.gather(*leaders)
    rows = await writer.fetch("SELECT revision, name, event FROM events ORDER BY revision")
    assert [row["revision"] for row in rows] == list(range(1, 501))
    for number in range(5):
        turns = [int(row["event"]) for row in rows if row["name"] == f"models/m{number}"]
        assert turns == list(range(100))
    await writer.close()
    await store.close()


async def test_a_watcher_that_falls_out_of_the_ring_is_sent_away_with_where_to_resume(database):
    store = Database(database.application, encode_event=encode_change)
    writer = await asyncpg.connect(database.owner)
    tail = EventTail(store, database.application, finish=lambda event, _: event, max_events=10)
    running = asyncio.create_task(tail.run())
    await tail.wait_ready()

    async def happen(count):
        first = tail.revision + 1
        for revision in range(first, first + count):
            await writer.execute(
                "INSERT INTO events VALUES ($1, 'MODEL', '{}', 'x', now(), 'models/m')", revision
            )
        await writer.execute("UPDATE watch_state SET revision = $1", first + count - 1)
        tail.heed(first + count - 1)
        async with asyncio.timeout(10):
            while tail.revision < first + count - 1:
                await asyncio.sleep(0.01)

    await happen(5)
    # One that begins far back reads on from the database, however much that is.
    await happen(30)
    slow = tail.follow(0)
    assert [event.revision for event in (await anext(slow)).events] == list(range(1, 36))
    await happen(3)
    assert [event.revision for event in (await anext(slow)).events] == [36, 37, 38]
    await happen(30)
    with pytest.raises(Unavailable) as caught:
        await anext(slow)
    assert caught.value.reason is ErrorReason.WATCHER_TOO_SLOW
    assert caught.value.metadata == {"resume_after_revision": "38"}
    again = tail.follow(38)
    assert [event.revision for event in (await anext(again)).events] == list(range(39, 69))
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await writer.close()
    await store.close()
