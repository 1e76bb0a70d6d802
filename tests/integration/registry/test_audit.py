"""Every change that somebody asked for is on record: who, what, from what to what; and the record is kept."""

import asyncpg
import pytest
from fleet_tools import Fleet

from moorage.registry.v1 import (
    audit_service_pb2,
    instance_pb2,
    model_pb2,
    model_service_pb2,
    worker_service_pb2,
)
from moorage_common.core.errors import ErrorReason, FailedPrecondition, InvalidArgument, NotFound

MODELS = "moorage.registry.v1.ModelService"
WORKERS = "moorage.registry.v1.WorkerService"


@pytest.fixture
def fleet(registry):
    return Fleet(registry.client)


async def records(fleet, **request):
    response = await fleet.client.audit.ListAuditRecords(audit_service_pb2.ListAuditRecordsRequest(**request))
    return list(response.records)


async def update(fleet, *, metadata=(), **fields):
    model = model_pb2.Model(name="models/tiny", **fields)
    request = model_service_pb2.UpdateModelRequest(model=model, update_mask={"paths": list(fields)})
    return await fleet.client.models.UpdateModel(request, metadata=metadata)


async def test_who_did_what_from_what_to_what(fleet):
    await fleet.create(replicas=1)
    await update(
        fleet,
        replicas=3,
        labels={"zone": "a"},
        metadata=[("x-moorage-actor", "ada@example"), ("x-request-id", "r7")],
    )
    changed, created = await records(fleet)
    assert (created.method, created.resource) == (f"{MODELS}/CreateModel", "models/tiny")
    assert not created.HasField("before")
    assert created.after["source"]
    assert (changed.method, changed.actor, changed.call_id) == (f"{MODELS}/UpdateModel", "ada@example", "r7")
    assert changed.peer
    assert "grpc" in changed.user_agent
    assert sorted(changed.changed_fields) == ["labels", "replicas"]
    assert (changed.before["replicas"], changed.after["replicas"]) == (1, 3)
    assert changed.request["update_mask"] == "replicas,labels"
    assert int(changed.name.split("/")[1]) > int(created.name.split("/")[1])


async def test_every_mutation_leaves_one_record(fleet):
    async with fleet.agent() as agent:
        instance = await fleet.bound(agent)
        await agent.report(instance, instance_pb2.INSTANCE_STATE_RUNNING, endpoint="http://x/v1")
        await fleet.restart(instance)
        name = "workers/gpu-01"
        await fleet.client.workers.CordonWorker(worker_service_pb2.CordonWorkerRequest(name=name))
        await fleet.client.workers.UncordonWorker(worker_service_pb2.UncordonWorkerRequest(name=name))
        drain = fleet.client.workers.DrainWorker(worker_service_pb2.DrainWorkerRequest(name=name))
        await anext(aiter(drain))
        drain.cancel()
        await fleet.stop()
        await fleet.delete()
        await fleet.client.workers.DeleteWorker(worker_service_pb2.DeleteWorkerRequest(name=name, force=True))
    found = {record.method.rpartition("/")[2]: record for record in await records(fleet, order_by="time")}
    assert list(found) == [
        "CreateModel",
        "RestartInstance",
        "CordonWorker",
        "UncordonWorker",
        "DrainWorker",
        "StopModel",
        "DeleteModel",
        "DeleteWorker",
    ]
    assert found["RestartInstance"].resource == instance.name
    assert "generation" in found["RestartInstance"].changed_fields
    assert list(found["CordonWorker"].changed_fields) == ["cordoned"]
    assert list(found["DrainWorker"].changed_fields) == ["cordoned", "drain"]
    assert list(found["StopModel"].changed_fields) == ["desired_state"]
    assert found["DeleteWorker"].HasField("before")
    assert not found["DeleteWorker"].HasField("after")


async def test_a_call_that_changes_nothing_is_on_record_and_says_so(fleet):
    await fleet.create()
    await fleet.start()
    [record] = await records(fleet, filter="method:StartModel OR method = '*StartModel'")
    assert not record.HasField("before")
    assert not record.changed_fields


async def test_what_was_refused_rolled_back_or_answered_before_is_not(fleet):
    await fleet.create()
    count = len(await records(fleet))
    with pytest.raises(NotFound):
        await fleet.stop("nothing")
    with pytest.raises(FailedPrecondition):
        await update(fleet, source="hf:acme/other/model.gguf")
    stop = model_service_pb2.StopModelRequest(name="models/tiny", validate_only=True)
    await fleet.client.models.StopModel(stop)
    once = model_service_pb2.StopModelRequest(name="models/tiny", request_id="once")
    await fleet.client.models.StopModel(once)
    await fleet.client.models.StopModel(once)
    found = await records(fleet)
    assert len(found) == count + 1
    assert found[0].request_id == "once"


async def test_records_are_found_by_what_they_say(fleet):
    await fleet.create("a")
    await fleet.create("b")
    await fleet.stop("a")
    assert [r.method.rpartition("/")[2] for r in await records(fleet, filter='resource = "models/a"')] == [
        "StopModel",
        "CreateModel",
    ]
    pages = await records(fleet, page_size=2)
    assert [record.resource for record in pages] == ["models/a", "models/b"]
    with pytest.raises(InvalidArgument) as caught:
        await records(fleet, filter="resources = x")
    assert caught.value.reason is ErrorReason.FILTER_INVALID


async def test_nobody_who_serves_can_change_or_remove_a_record(fleet, database):
    await fleet.create()
    if database.application == database.owner:
        pytest.skip("the given server has one role for everything")
    connection = await asyncpg.connect(database.application)
    for statement in (
        "UPDATE audit_records SET actor = 'somebody else'",
        "DELETE FROM audit_records",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="kept as they were written"):
            await connection.execute(statement)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute("TRUNCATE audit_records")
    await connection.close()
    assert len(await records(fleet)) == 1


async def test_a_change_whose_record_cannot_be_written_is_not_made(fleet, database):
    await fleet.create()
    owner = await asyncpg.connect(database.owner)
    await owner.execute("ALTER TABLE audit_records ADD CHECK (method NOT LIKE '%StopModel')")
    await owner.close()
    before = await fleet.model()
    with pytest.raises(Exception, match="internal error"):
        await fleet.stop()
    assert await fleet.model() == before
