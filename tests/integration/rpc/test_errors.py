import asyncio

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from moorage.registry.v1.model_pb2 import Model
from moorage.registry.v1.model_service_pb2 import (
    CreateModelRequest,
    GetModelRequest,
    GetModelResponse,
    StopModelRequest,
)
from moorage.registry.v1.model_service_pb2_grpc import ModelServiceStub
from moorage.registry.v1.watch_service_pb2 import WatchRequest, WatchResponse
from moorage.registry.v1.worker_service_pb2 import HeartbeatRequest, HeartbeatResponse
from moorage_common.core.errors import (
    DeadlineExceeded,
    ErrorReason,
    FailedPrecondition,
    FieldViolation,
    Internal,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    Unavailable,
    Unimplemented,
)
from moorage_common.rpc.server import ServerConfig

GET = GetModelRequest(name="models/llama")
STOP = StopModelRequest(name="models/llama")
VALID_HEARTBEAT = HeartbeatRequest(worker="workers/gpu-07", lease_id="l1")


async def test_a_response_comes_back(mesh):
    async def get_model(request, context):
        return GetModelResponse(model=Model(name=request.name))

    client = await mesh.connect(await mesh.serve(GetModel=get_model))
    assert (await client.models.GetModel(GET)).model.name == "models/llama"


async def test_a_client_raises_what_the_handler_raised(mesh):
    async def get_model(request, context):
        raise NotFound(
            f"{request.name} does not exist",
            resource=request.name,
            metadata={"model": request.name},
            remedy="Create it first.",
        )

    client = await mesh.connect(await mesh.serve(GetModel=get_model))
    with pytest.raises(NotFound) as raised:
        await client.models.GetModel(GET)
    error = raised.value
    assert (error.message, error.reason) == ("models/llama does not exist", ErrorReason.RESOURCE_NOT_FOUND)
    assert (error.resource, error.remedy) == ("models/llama", "Create it first.")
    assert error.metadata == {"model": "models/llama"}


async def test_a_stream_raises_it_too_after_what_was_sent(mesh):
    async def watch(request, context):
        yield WatchResponse(revision=1)
        raise FailedPrecondition("no more")

    client = await mesh.connect(await mesh.serve(Watch=watch))
    seen = []
    with pytest.raises(FailedPrecondition, match="no more"):
        async for event in client.watch.Watch(WatchRequest()):
            seen.append(event.revision)
    assert seen == [1]


async def test_a_stranger_gets_the_standard_details(mesh):
    async def get_model(request, context):
        raise NotFound("no such model", resource=request.name)

    channel = await mesh.raw_channel(await mesh.serve(GetModel=get_model))
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await ModelServiceStub(channel).GetModel(GET)
    assert raised.value.code() is grpc.StatusCode.NOT_FOUND
    assert raised.value.details() == "no such model"
    packed = dict(raised.value.trailing_metadata())["grpc-status-details-bin"]
    status = status_pb2.Status.FromString(packed)
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert (info.domain, info.reason) == ("moorage", "RESOURCE_NOT_FOUND")


async def test_a_defect_tells_the_caller_nothing_but_the_request_id(mesh, logged):
    async def get_model(request, context):
        raise RuntimeError("secret /etc/passwd")

    client = await mesh.connect(await mesh.serve(GetModel=get_model))
    with pytest.raises(Internal) as raised:
        await client.models.GetModel(GET, metadata=(("x-request-id", "req-7"),))
    assert "secret" not in str(raised.value.message) + str(raised.value.metadata)
    assert raised.value.metadata == {"request_id": "req-7"}
    (line,) = [line for line in logged() if line["event"] == "handler failed"]
    assert "secret /etc/passwd" in line["exception"]
    assert line["request_id"] == "req-7"


async def test_every_violation_of_a_request_is_reported_at_once(mesh):
    async def create_model(request, context):
        raise AssertionError("an invalid request reached the handler")

    client = await mesh.connect(await mesh.serve(CreateModel=create_model))
    request = CreateModelRequest(model_id="Not An Id", model=Model(replicas=-1))
    with pytest.raises(InvalidArgument) as raised:
        await client.models.CreateModel(request)
    fields = {violation.field for violation in raised.value.violations}
    assert {"model_id", "model.replicas"} <= fields


async def test_every_message_of_a_stream_is_checked(mesh):
    received = []

    async def heartbeat(requests, context):
        async for request in requests:
            received.append(request)
            yield HeartbeatResponse()

    async def requests():
        yield VALID_HEARTBEAT
        yield HeartbeatRequest()

    client = await mesh.connect(await mesh.serve(Heartbeat=heartbeat))
    responses = 0
    with pytest.raises(InvalidArgument) as raised:
        async for _ in client.workers.Heartbeat(requests()):
            responses += 1
    assert responses == 1
    assert received == [VALID_HEARTBEAT]
    assert raised.value.violations


async def test_very_many_violations_fit_into_the_answer(mesh):
    violations = [FieldViolation(f"items[{number}].name", "must not be empty" * 4) for number in range(2000)]

    async def get_model(request, context):
        raise InvalidArgument("m" * 100_000, violations=violations, metadata={"k": "v" * 50_000})

    client = await mesh.connect(await mesh.serve(GetModel=get_model))
    with pytest.raises(InvalidArgument) as raised:
        await client.models.GetModel(GET)
    kept = raised.value.violations
    assert kept[0] == violations[0]
    assert kept[-1].description == f"and {2000 - (len(kept) - 1)} more"


async def test_an_unknown_method_is_said_with_its_name(mesh):
    channel = await mesh.raw_channel(await mesh.serve())
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await channel.unary_unary("/moorage.registry.v1.ModelService/Sing")(b"")
    assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert "/moorage.registry.v1.ModelService/Sing" in raised.value.details()


async def test_a_method_without_handler_is_unimplemented_not_internal(mesh):
    client = await mesh.connect(await mesh.serve())
    with pytest.raises(Unimplemented):
        await client.models.GetModel(GET)


async def test_nobody_there_is_unavailable_with_the_address(mesh):
    server = await mesh.serve()
    await server.drain()
    client = await mesh.connect(server)
    with pytest.raises(Unavailable) as raised:
        await client.models.StopModel(STOP)
    assert raised.value.message == f"{server.address} cannot be reached"


async def test_a_message_that_is_too_large_is_said_to_be(mesh):
    client = await mesh.connect(await mesh.serve(ServerConfig(max_receive_bytes=1000)))
    with pytest.raises(ResourceExhausted) as raised:
        await client.models.GetModel(GetModelRequest(name="models/" + "x" * 2000))
    assert raised.value.reason is ErrorReason.MESSAGE_TOO_LARGE


async def test_a_deadline_that_passes_is_said_to_have(mesh):
    async def get_model(request, context):
        await asyncio.Event().wait()

    client = await mesh.connect(await mesh.serve(GetModel=get_model))
    with pytest.raises(DeadlineExceeded):
        await client.models.GetModel(GET, timeout=0.05)


async def test_a_call_without_deadline_gets_the_servers(mesh):
    async def get_model(request, context):
        await asyncio.Event().wait()

    channel = await mesh.raw_channel(
        await mesh.serve(ServerConfig(default_deadline_s=0.05), GetModel=get_model)
    )
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await ModelServiceStub(channel).GetModel(GET)
    assert raised.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert "0.05 s" in raised.value.details()
