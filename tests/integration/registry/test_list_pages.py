"""Pages in every order: no row is lost or repeated, and a token is good for its own query only."""

from dataclasses import replace
from datetime import timedelta
from random import Random
from types import SimpleNamespace

import pytest
from listed_rows import BARE_INSTANCE, insert_everything, many_instances
from sqlalchemy import delete

from moorage.registry.v1 import (
    artifact_service_pb2,
    instance_service_pb2,
    model_service_pb2,
    worker_service_pb2,
)
from moorage_common.core.errors import ErrorReason, InvalidArgument
from moorage_registry.store import listing, schema
from moorage_registry.store.lists import INSTANCE_LIST
from moorage_registry.store.tables import INSTANCES

ROWS = 120


def request(**fields):
    return SimpleNamespace(**({"page_size": 0, "page_token": "", "filter": "", "order_by": ""} | fields))


async def pages(connection, size, **fields):
    """Every page of a list."""
    token = ""
    while True:
        found, token = await listing.page(
            connection, INSTANCE_LIST, request(page_size=size, page_token=token, **fields), query="test"
        )
        assert len(found) == size or not token
        assert len(token) <= 8192  # as the protos say
        yield found
        if not token:
            return


async def read(connection, size, **fields):
    return [record async for page in pages(connection, size, **fields) for record in page]


@pytest.fixture
async def instances(store):
    records = list(many_instances(Random(11), ROWS))

    async def work(tx):
        await insert_everything(tx)
        await tx.execute(delete(schema.instances))
        await INSTANCES.insert(tx, records)

    await store.transact(work)
    return records


def absent_first(value):
    return (value is not None, value)


SORT_KEYS = {
    "uid": lambda r: r.uid,
    "version": lambda r: r.version,
    "create_time": lambda r: r.created_at,
    "state": lambda r: r.state.value,
    "worker": lambda r: r.worker_id or "",
    "placement.gpu_layers": lambda r: absent_first(
        None if r.placement is None else r.placement.get("gpu_layers", 0)
    ),
    "placement.score": lambda r: absent_first(None if r.placement is None else r.placement.get("score", 0.0)),
    "explanation.verdict": lambda r: absent_first((r.explanation or {}).get("verdict")),
    "explanation.summary": lambda r: (r.explanation or {}).get("summary", ""),
    "endpoint": lambda r: r.endpoint,
    "error.code": lambda r: absent_first(r.error and r.error["code"]),
    "restart_count": lambda r: r.restart_count,
    "retiring": lambda r: r.retiring,
}


def in_order(records, orders):
    """The records as they should come; ties by key."""
    ordered = sorted(records, key=lambda r: (r.model_id, r.id))
    for field, descending in reversed(orders):
        # Python's sort keeps what is alike in the order that it had, also when it is reversed.
        ordered.sort(key=SORT_KEYS[field], reverse=descending)
    return ordered


async def test_every_order_pages_through_every_row_once(store, instances):
    random = Random(5)
    singles = [[(field, descending)] for field in SORT_KEYS for descending in (False, True)]
    mixed = [
        [(field, random.random() < 0.5) for field in random.sample(list(SORT_KEYS), random.randrange(2, 7))]
        for _ in range(25)
    ]
    async with store.read() as connection:
        for orders in singles + mixed:
            order_by = ", ".join(f"{field}{' desc' * descending}" for field, descending in orders)
            expected = [record.uid for record in in_order(instances, orders)]
            for size in (random.randrange(1, 12), ROWS):
                found = await read(connection, size, order_by=order_by)
                assert [record.uid for record in found] == expected, (order_by, size)


@pytest.mark.parametrize("order_by", ["", "name", "name desc", "name desc, state", "retiring, name desc"])
async def test_names_order_by_their_ids(store, instances, order_by):
    expected = sorted(instances, key=lambda r: (r.model_id, r.id), reverse="desc" in order_by)
    if order_by.startswith("retiring"):
        expected.sort(key=lambda r: r.retiring)
    async with store.read() as connection:
        found = await read(connection, 7, order_by=order_by)
    assert [r.uid for r in found] == [r.uid for r in expected]


async def test_pages_hold_only_what_the_filter_finds(store, instances):
    expected = [r.uid for r in in_order(instances, [("worker", True)]) if r.restart_count > 0]
    async with store.read() as connection:
        found = await read(connection, 5, filter="restart_count > 0", order_by="worker desc")
    assert [r.uid for r in found] == expected


async def test_rows_that_come_and_go_between_pages_move_no_other(store, instances):
    """Without offsets: what is there all the time is told of exactly once."""
    walked = []
    number = ROWS
    async with store.read() as connection:
        async for page in pages(connection, 9, order_by="restart_count desc, create_time"):
            walked += page
            gone, new = page[0], replace(page[0], uid=f"uid-{number:05}", id=f"new{number}")
            number += 1

            async def swap(tx, gone=gone, new=new):
                await INSTANCES.delete(tx, [gone])
                await INSTANCES.insert(tx, [new])

            await store.transact(swap)
            await connection.rollback()
    uids = [r.uid for r in walked]
    assert len(set(uids)) == len(uids)
    assert {r.uid for r in instances} <= set(uids)


async def test_texts_are_ordered_by_their_beginning_and_tokens_stay_short(store, instances):
    long = [
        replace(
            BARE_INSTANCE,
            uid=f"long-{number}",
            id=f"long{number}",
            endpoint="\x01" * 3000,
            error={"code": 13, "message": "𝄞" * 5000},
            explanation={"summary": "\x1f" * 3000},
            created_at=BARE_INSTANCE.created_at + timedelta(days=1),
        )
        for number in range(5)
    ]
    await store.transact(lambda tx: INSTANCES.insert(tx, long))
    async with store.read() as connection:
        found = await read(
            connection, 2, order_by="endpoint desc, error.message, explanation.summary, uid, worker, last_worker",
            filter="create_time > 2026-01-01T12:00:00Z",
        )  # fmt: skip
    assert [r.uid for r in found] == [r.uid for r in long]


async def test_lists_of_the_api_are_filtered_and_ordered(fleet):
    for number in range(5):
        await fleet.create(
            f"m{number}", replicas=number % 2, labels={"parity": "odd" if number % 2 else "even"}
        )
        await fleet.register(f"w{number}", node=f"n{number}", ram=number + 1, zone="a" if number < 2 else "b")

    models = await fleet.client.models.ListModels(
        model_service_pb2.ListModelsRequest(
            filter="labels.parity = even", order_by="create_time desc", page_size=2
        )
    )
    assert [m.name for m in models.models] == ["models/m4", "models/m2"]
    models = await fleet.client.models.ListModels(
        model_service_pb2.ListModelsRequest(
            filter="labels.parity = even",
            order_by="create_time desc",
            page_size=50,
            page_token=models.next_page_token,
        )
    )
    assert [m.name for m in models.models] == ["models/m0"]
    assert not models.next_page_token

    workers = await fleet.client.workers.ListWorkers(
        worker_service_pb2.ListWorkersRequest(filter="labels.zone = b", order_by="facts.ram_total_bytes desc")
    )
    assert [w.name for w in workers.workers] == ["workers/w4", "workers/w3", "workers/w2"]

    within = await fleet.client.instances.ListInstances(
        instance_service_pb2.ListInstancesRequest(parent="models/m1", filter="name = models/m3/instances/*")
    )
    assert not within.instances
    everywhere = await fleet.client.instances.ListInstances(
        instance_service_pb2.ListInstancesRequest(parent="models/-", filter="name = models/m3/instances/*")
    )
    assert len(everywhere.instances) == 1


async def test_a_token_is_good_for_its_own_query_only(fleet):
    for number in range(3):
        await fleet.create(f"m{number}", replicas=3)
    client = fleet.client.instances
    own = {"parent": "models/-", "filter": "state = PENDING", "order_by": "uid desc"}
    first = await client.ListInstances(instance_service_pb2.ListInstancesRequest(**own, page_size=2))
    token = first.next_page_token
    for other in (
        {"parent": "models/m1"},
        {"filter": ""},
        {"filter": "state =  PENDING"},
        {"filter": "state = RUNNING"},
        {"order_by": ""},
        {"order_by": "uid"},
        {"order_by": "version desc"},
    ):
        with pytest.raises(InvalidArgument) as caught:
            await client.ListInstances(
                instance_service_pb2.ListInstancesRequest(**{**own, **other}, page_token=token)
            )
        assert caught.value.reason is ErrorReason.PAGE_TOKEN_INVALID, other
    rest = await client.ListInstances(
        instance_service_pb2.ListInstancesRequest(**own, page_token=token, page_size=1000)
    )
    assert len({i.uid for i in [*first.instances, *rest.instances]}) == 9


async def test_the_registry_says_where_a_filter_is_wrong(registry):
    client = registry.client
    with pytest.raises(InvalidArgument) as caught:
        await client.workers.ListWorkers(
            worker_service_pb2.ListWorkersRequest(filter="cordoned = false AND stat = READY")
        )
    error = caught.value
    assert error.reason is ErrorReason.FILTER_INVALID
    assert error.metadata == {"position": "22"}
    [violation] = error.violations
    assert violation.field == "filter"
    assert "at character 22: there is no field stat; did you mean state?" in violation.description
    assert "docs/filters.md" in error.remedy

    with pytest.raises(InvalidArgument) as caught:
        await client.artifacts.ListDownloadRecords(
            artifact_service_pb2.ListDownloadRecordsRequest(order_by="create_time down")
        )
    assert caught.value.reason is ErrorReason.ORDER_BY_INVALID
    assert caught.value.metadata == {"position": "13"}
    assert caught.value.violations[0].field == "order_by"
