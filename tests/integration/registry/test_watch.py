"""The watch: every change, in order, once, whoever sequences and however often a watcher breaks off."""

import asyncio

import asyncpg
import pytest
from fleet_tools import Fleet

from moorage.registry.v1 import model_pb2, model_service_pb2, watch_service_pb2
from moorage_common.core.errors import ErrorReason, InvalidArgument, OutOfRange, Unavailable

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
