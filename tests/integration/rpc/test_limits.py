import asyncio

import pytest

from moorage.registry.v1.model_service_pb2 import GetModelRequest, GetModelResponse
from moorage.registry.v1.watch_service_pb2 import WatchRequest, WatchResponse
from moorage_common.core.errors import ErrorReason, ResourceExhausted
from moorage_common.rpc.channels import reading
from moorage_common.rpc.server import ServerConfig

GET = GetModelRequest(name="models/llama")


async def watch(request, context):
    yield WatchResponse(revision=1)
    await asyncio.Event().wait()


async def test_calls_beyond_the_limit_are_refused_with_a_delay(mesh):
    started, go_on = asyncio.Event(), asyncio.Event()

    async def get_model(request, context):
        started.set()
        await go_on.wait()
        return GetModelResponse()

    server = await mesh.serve(ServerConfig(max_unary_calls=1), GetModel=get_model, Watch=watch)
    client = await mesh.connect(server)

    async def call():
        return await client.models.GetModel(GET)

    first = asyncio.create_task(call())
    await started.wait()
    with pytest.raises(ResourceExhausted) as raised:
        await call()
    assert raised.value.reason is ErrorReason.SERVER_BUSY
    assert raised.value.retry_after_s == 1.0
    # A stream does not need the place of a call.
    async with reading(client.watch.Watch(WatchRequest())) as events:
        assert (await anext(aiter(events))).revision == 1
    go_on.set()
    assert await first == GetModelResponse()
    assert await call() == GetModelResponse()


async def test_streams_beyond_the_limit_are_refused_until_one_ends(mesh):
    client = await mesh.connect(await mesh.serve(ServerConfig(max_streams=1), Watch=watch))
    async with reading(client.watch.Watch(WatchRequest())) as events:
        assert (await anext(aiter(events))).revision == 1
        with pytest.raises(ResourceExhausted, match="as many streams"):
            await anext(aiter(client.watch.Watch(WatchRequest())))
    for _ in range(100):
        try:
            assert (await anext(aiter(client.watch.Watch(WatchRequest())))).revision == 1
            break
        except ResourceExhausted:
            # The server learns a moment later that the first reader left.
            await asyncio.sleep(0.01)
    else:
        pytest.fail("the place of the stream that ended was never given back")
