import asyncio
import os

import pytest

from moorage.registry.v1.model_service_pb2 import (
    GetModelRequest,
    GetModelResponse,
    ListModelsRequest,
    ListModelsResponse,
    StopModelRequest,
    StopModelResponse,
)
from moorage_common.core.errors import FailedPrecondition, InvalidArgument, ResourceExhausted, Unavailable
from moorage_common.rpc.channels import ChannelConfig, open_channel
from moorage_common.rpc.server import ServerConfig

GET = GetModelRequest(name="models/llama")
STOP = StopModelRequest(name="models/llama")


async def test_reading_calls_are_repeated_when_the_server_is_unavailable(mesh):
    calls = 0

    async def get_model(request, context):
        nonlocal calls
        calls += 1
        if calls < 3:
            raise Unavailable("not now")
        return GetModelResponse()

    client = await mesh.connect(await mesh.serve(GetModel=get_model))
    assert await client.models.GetModel(GET) == GetModelResponse()
    assert calls == 3


async def test_changing_calls_are_never_repeated(mesh):
    calls = 0

    async def stop_model(request, context):
        nonlocal calls
        calls += 1
        raise Unavailable("not now")

    client = await mesh.connect(await mesh.serve(StopModel=stop_model))
    with pytest.raises(Unavailable, match="not now"):
        await client.models.StopModel(STOP)
    assert calls == 1


async def test_waiting_for_ready_outlasts_a_server_that_is_not_there_yet(mesh, unused_tcp_port):
    async def stop_model(request, context):
        return StopModelResponse()

    address = f"127.0.0.1:{unused_tcp_port}"
    client = await mesh.connect(address, wait_for_ready=True)

    async def call():
        return await client.models.StopModel(STOP)

    waiting = asyncio.create_task(call())
    await asyncio.sleep(0.05)
    assert not waiting.done()
    await mesh.serve(ServerConfig(listen=address), StopModel=stop_model)
    assert await waiting == StopModelResponse()


async def test_a_client_finds_a_server_that_was_restarted(mesh):
    async def stop_model(request, context):
        return StopModelResponse()

    first = await mesh.serve(StopModel=stop_model)
    client = await mesh.connect(first, wait_for_ready=True)
    await client.models.StopModel(STOP)
    await first.drain()
    await mesh.serve(ServerConfig(listen=first.address), StopModel=stop_model)
    assert await client.models.StopModel(STOP) == StopModelResponse()


async def test_a_response_that_is_too_large_is_refused(mesh):
    async def list_models(request, context):
        return ListModelsResponse(next_page_token="x" * 5000)

    client = await mesh.connect(await mesh.serve(ListModels=list_models), max_receive_bytes=1000)
    with pytest.raises(ResourceExhausted):
        await client.models.ListModels(ListModelsRequest())


async def test_a_proxy_in_the_environment_is_not_used(mesh, monkeypatch):
    async def get_model(request, context):
        return GetModelResponse()

    monkeypatch.setitem(os.environ, "http_proxy", "http://127.0.0.1:1")
    monkeypatch.delitem(os.environ, "no_proxy", raising=False)
    client = await mesh.connect(await mesh.serve(GetModel=get_model))
    assert await client.models.GetModel(GET) == GetModelResponse()


async def test_a_call_that_is_cancelled_is_cancelled_at_the_server(mesh):
    started, ended = asyncio.Event(), asyncio.Event()

    async def get_model(request, context):
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    client = await mesh.connect(await mesh.serve(GetModel=get_model))

    async def call():
        return await client.models.GetModel(GET)

    calling = asyncio.create_task(call())
    await started.wait()
    calling.cancel()
    await asyncio.wait({calling})
    assert calling.cancelled()
    await ended.wait()


async def test_plaintext_goes_to_loopback_only_unless_said_aloud(mesh):
    with pytest.raises(FailedPrecondition) as raised:
        open_channel(ChannelConfig(target="registry:7600"), telemetry=mesh.telemetry)
    assert "--insecure" in raised.value.remedy
    channel = open_channel(ChannelConfig(target="registry:7600", insecure=True), telemetry=mesh.telemetry)
    await channel.close()


async def test_what_is_no_address_is_refused(mesh):
    with pytest.raises(InvalidArgument, match="target is invalid"):
        open_channel(ChannelConfig(target="registry"), telemetry=mesh.telemetry)
