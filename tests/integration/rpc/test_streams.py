import asyncio
import contextvars
import gc

import grpc
import pytest

from moorage.registry.v1.model_service_pb2 import GetModelRequest, GetModelResponse
from moorage.registry.v1.watch_service_pb2 import WatchRequest, WatchResponse
from moorage.registry.v1.worker_service_pb2 import HeartbeatRequest, HeartbeatResponse
from moorage_common.core.errors import ErrorReason, Unavailable
from moorage_common.rpc.channels import reading
from moorage_common.rpc.server import RpcServer, ServerConfig

GET = GetModelRequest(name="models/llama")
VALID_HEARTBEAT = HeartbeatRequest(worker="workers/gpu-07", lease_id="l1")


async def endless(request, context):
    yield WatchResponse(revision=1)
    await asyncio.Event().wait()


async def test_messages_go_both_ways_while_the_stream_is_open(mesh):
    async def heartbeat(requests, context):
        async for request in requests:
            yield HeartbeatResponse(desired_state={"nonce": request.lease_id})

    answers: asyncio.Queue[str] = asyncio.Queue()

    async def requests():
        for number in range(3):
            yield HeartbeatRequest(worker="workers/gpu-07", lease_id=f"l{number}")
            assert await answers.get() == f"l{number}"

    client = await mesh.connect(await mesh.serve(Heartbeat=heartbeat))
    seen = 0
    async with reading(client.workers.Heartbeat(requests())) as responses:
        async for response in responses:
            seen += 1
            answers.put_nowait(response.desired_state.nonce)
    assert seen == 3


async def test_a_reader_that_leaves_ends_the_handler(mesh, eventually):
    ended = asyncio.Event()

    async def watch(request, context):
        try:
            yield WatchResponse(revision=1)
            await asyncio.Event().wait()
        finally:
            ended.set()

    client = await mesh.connect(await mesh.serve(Watch=watch))
    async with reading(client.watch.Watch(WatchRequest())) as events:
        async for event in events:
            assert event.revision == 1
            break
    await ended.wait()


async def test_a_handler_that_is_left_while_it_writes_is_closed_in_its_own_task(mesh):
    """Otherwise its `finally` runs whenever garbage is collected, in a context that is not its own."""
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable")
    ended: asyncio.Queue[bool] = asyncio.Queue()

    async def watch(request, context):
        token = variable.set(1)
        task = asyncio.current_task()
        try:
            while True:
                # More than flow control lets through: the handler stands still in a write.
                yield WatchResponse(copy={"name": "x" * 1_000_000})
        finally:
            variable.reset(token)
            ended.put_nowait(asyncio.current_task() is task)

    client = await mesh.connect(await mesh.serve(Watch=watch))
    async with reading(client.watch.Watch(WatchRequest())) as events:
        async for _ in events:
            break
    assert await ended.get()
    gc.collect()


async def test_a_drain_sends_streams_away_and_lets_calls_finish(mesh):
    started, go_on, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def watch(request, context):
        try:
            yield WatchResponse(revision=7)
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def get_model(request, context):
        started.set()
        await go_on.wait()
        return GetModelResponse()

    server = await mesh.serve(ServerConfig(drain_grace_s=30), Watch=watch, GetModel=get_model)
    client = await mesh.connect(server)
    call = asyncio.create_task(_result(client.models.GetModel(GET)))
    await started.wait()
    events = client.watch.Watch(WatchRequest())
    stream = aiter(events)
    assert (await anext(stream)).revision == 7
    draining = asyncio.create_task(server.drain())
    with pytest.raises(Unavailable) as raised:
        await anext(stream)
    assert raised.value.reason is ErrorReason.SERVER_DRAINING
    assert ended.is_set()
    go_on.set()
    assert await call == GetModelResponse()
    await draining


async def test_a_stream_that_stands_in_a_write_is_sent_away_too(mesh):
    async def watch(request, context):
        while True:
            yield WatchResponse(copy={"name": "x" * 1_000_000})

    server = await mesh.serve(ServerConfig(drain_grace_s=30), Watch=watch)
    client = await mesh.connect(server)
    stream = aiter(client.watch.Watch(WatchRequest()))
    await anext(stream)
    draining = asyncio.create_task(server.drain())
    with pytest.raises(Unavailable):
        while True:
            await anext(stream)
    await draining


async def test_a_handler_may_say_goodbye_when_the_server_drains(mesh):
    servers: list[RpcServer] = []

    async def watch(request, context):
        yield WatchResponse(revision=1)
        await servers[0].draining.wait()

    servers.append(await mesh.serve(Watch=watch))
    client = await mesh.connect(servers[0])
    stream = aiter(client.watch.Watch(WatchRequest()))
    await anext(stream)
    draining = asyncio.create_task(servers[0].drain())
    with pytest.raises((StopAsyncIteration, Unavailable)):
        await anext(stream)
    await draining


async def test_bytes_from_a_handler_go_out_as_they_are(mesh):
    packed = WatchResponse(revision=9).SerializeToString()

    async def watch(request, context):
        assert isinstance(request, WatchRequest)
        yield packed

    server = RpcServer(ServerConfig(), telemetry=mesh.telemetry)
    handler = grpc.unary_stream_rpc_method_handler(watch, request_deserializer=WatchRequest.FromString)
    server.add_handlers("moorage.registry.v1.WatchService", {"Watch": handler})
    async with server:
        await server.start()
        client = await mesh.connect(server)
        assert [event.revision async for event in client.watch.Watch(WatchRequest())] == [9]


async def test_single_methods_replace_those_of_a_service(mesh):
    from moorage.registry.v1.watch_service_pb2_grpc import add_WatchServiceServicer_to_server

    from .conftest import Services

    async def watch(request, context):
        yield WatchResponse(revision=10).SerializeToString()

    server = RpcServer(ServerConfig(), telemetry=mesh.telemetry)
    server.add(add_WatchServiceServicer_to_server, Services(Watch=endless))
    handler = grpc.unary_stream_rpc_method_handler(watch, request_deserializer=WatchRequest.FromString)
    server.add_handlers("moorage.registry.v1.WatchService", {"Watch": handler})
    async with server:
        await server.start()
        client = await mesh.connect(server)
        assert [event.revision async for event in client.watch.Watch(WatchRequest())] == [10]


async def _result(call):
    return await call
