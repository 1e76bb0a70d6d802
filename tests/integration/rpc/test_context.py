"""What travels with a call: request id, deadline, trace."""

import asyncio

import pytest

from moorage.registry.v1.model_service_pb2 import GetModelRequest, GetModelResponse
from moorage.registry.v1.watch_service_pb2 import WatchRequest, WatchResponse
from moorage_common.core.errors import DeadlineExceeded, Unavailable
from moorage_common.rpc import context as call_context
from moorage_common.runtime.logs import get_logger

GET = GetModelRequest(name="models/llama")


async def test_request_id_and_deadline_go_on_to_the_calls_made_for_a_call(mesh):
    seen: list[tuple[str, float]] = []

    async def inner(request, context):
        seen.append((call_context.request_id(), call_context.remaining_s()))
        return GetModelResponse()

    back = await mesh.connect(await mesh.serve(GetModel=inner))

    async def outer(request, context):
        seen.append((call_context.request_id(), call_context.remaining_s()))
        return await back.models.GetModel(request)

    front = await mesh.connect(await mesh.serve(GetModel=outer))
    await front.models.GetModel(GET, timeout=5, metadata=(("x-request-id", "req-1"),))
    (outer_id, outer_s), (inner_id, inner_s) = seen
    assert outer_id == inner_id == "req-1"
    # Far below the default of 30 s; gRPC rounds it up a little on the wire.
    assert 0 < inner_s < 6
    assert 0 < outer_s < 6


async def test_a_call_without_request_id_gets_one(mesh):
    seen = []

    async def get_model(request, context):
        seen.append(call_context.request_id())
        return GetModelResponse()

    client = await mesh.connect(await mesh.serve(GetModel=get_model))
    await client.models.GetModel(GET)
    await client.models.GetModel(GET)
    assert len(set(seen)) == 2
    assert all(seen)


async def test_who_calls_goes_with_every_call(mesh):
    seen = []

    async def get_model(request, context):
        seen.append(dict(context.invocation_metadata()).get("x-moorage-actor"))
        return GetModelResponse()

    async def watch(request, context):
        seen.append(dict(context.invocation_metadata()).get("x-moorage-actor"))
        yield WatchResponse(revision=1)

    server = await mesh.serve(GetModel=get_model, Watch=watch)
    named = await mesh.connect(server, actor="ada@bridge")
    await named.models.GetModel(GET)
    _ = [event async for event in named.watch.Watch(WatchRequest())]
    await named.models.GetModel(GET, metadata=(("x-moorage-actor", "bob@deck"),))
    await (await mesh.connect(server)).models.GetModel(GET)
    assert seen == ["ada@bridge", "ada@bridge", "bob@deck", None]


async def test_who_calls_goes_on_to_the_calls_made_for_a_call(mesh):
    seen = []

    async def inner(request, context):
        seen.append(call_context.caller().actor)
        return GetModelResponse()

    back = await mesh.connect(await mesh.serve(GetModel=inner), actor="the service itself")

    async def outer(request, context):
        return await back.models.GetModel(request)

    async def outer_stream(request, context):
        await back.models.GetModel(GET)
        yield WatchResponse(revision=1)

    server = await mesh.serve(GetModel=outer, Watch=outer_stream)
    named = await mesh.connect(server, actor="ada@bridge")
    await named.models.GetModel(GET)
    _ = [event async for event in named.watch.Watch(WatchRequest())]
    await (await mesh.connect(server)).models.GetModel(GET)
    assert seen == ["ada@bridge", "ada@bridge", "the service itself"]


async def call_by_hand(server, actor: bytes) -> None:
    """Calls GetModel as no gRPC client for Python would: with whatever bytes as who calls. Waits for the answer."""
    fields = {
        b":method": b"POST",
        b":scheme": b"http",
        b":path": b"/moorage.registry.v1.ModelService/GetModel",
        b":authority": b"test",
        b"te": b"trailers",
        b"content-type": b"application/grpc",
        b"x-moorage-actor": actor,
    }
    # Header fields as they are, neither indexed nor packed.
    head = b"".join(bytes([0, len(key)]) + key + bytes([len(value)]) + value for key, value in fields.items())
    message = GET.SerializeToString()
    body = b"\0" + len(message).to_bytes(4, "big") + message
    # Frames: kind, flags, stream, content. First settings, then the head, then the body and the end of the stream.
    frames = [(4, 0, 0, b""), (1, 4, 1, head), (0, 1, 1, body)]
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    for kind, flags, stream, content in frames:
        size, number = len(content).to_bytes(3, "big"), stream.to_bytes(4, "big")
        writer.write(size + bytes([kind, flags]) + number + content)
    async with asyncio.timeout(5):
        await reader.readuntil(b"grpc-status")
    writer.close()


async def test_who_calls_goes_on_in_characters_that_can_be_sent(mesh):
    seen = []

    async def inner(request, context):
        seen.append(call_context.caller().actor)
        return GetModelResponse()

    back = await mesh.connect(await mesh.serve(GetModel=inner))

    async def outer(request, context):
        return await back.models.GetModel(request)

    server = await mesh.serve(GetModel=outer)
    await call_by_hand(server, "zoë@bridge".encode())
    await call_by_hand(server, b"ada\x01@bridge")
    assert seen == ["zo?@bridge", "ada?@bridge"]


async def test_a_stream_has_no_deadline_unless_given_one(mesh):
    seen = []

    async def watch(request, context):
        seen.append(call_context.remaining_s())
        yield WatchResponse(revision=1)
        if seen[-1] is not None:
            await asyncio.Event().wait()

    client = await mesh.connect(await mesh.serve(Watch=watch), default_deadline_s=0.5)
    assert [event.revision async for event in client.watch.Watch(WatchRequest())] == [1]
    with pytest.raises(DeadlineExceeded):
        _ = [event async for event in client.watch.Watch(WatchRequest(), timeout=0.05)]
    assert seen[0] is None
    # gRPC rounds the deadline up on the wire.
    assert seen[1] < 1


async def test_a_unary_call_gets_the_clients_default_deadline(mesh):
    async def get_model(request, context):
        await asyncio.Event().wait()

    client = await mesh.connect(await mesh.serve(GetModel=get_model), default_deadline_s=0.05)
    with pytest.raises(DeadlineExceeded):
        await client.models.GetModel(GET)


async def test_one_trace_spans_services_and_is_in_their_logs(mesh, logged):
    async def inner(request, context):
        get_logger("inner").info("looked up")
        return GetModelResponse()

    back = await mesh.connect(await mesh.serve(GetModel=inner))

    async def outer(request, context):
        return await back.models.GetModel(request)

    front = await mesh.connect(await mesh.serve(GetModel=outer))
    await front.models.GetModel(GET)
    spans = mesh.spans.get_finished_spans()
    assert [span.kind.name for span in spans] == ["SERVER", "CLIENT", "SERVER", "CLIENT"]
    (trace_id,) = {f"{span.context.trace_id:032x}" for span in spans}
    lines = [line for line in logged() if line["event"] in {"looked up", "call ended"}]
    assert [line["event"] for line in lines] == ["looked up", "call ended", "call ended"]
    assert {line["trace_id"] for line in lines} == {trace_id}
    assert len({line["request_id"] for line in lines}) == 1


async def test_a_stream_has_a_span_too(mesh):
    async def watch(request, context):
        yield WatchResponse(revision=1)

    client = await mesh.connect(await mesh.serve(Watch=watch))
    assert [event.revision async for event in client.watch.Watch(WatchRequest())] == [1]
    names = {span.name for span in mesh.spans.get_finished_spans()}
    assert names == {"/moorage.registry.v1.WatchService/Watch"}


async def test_a_failed_call_is_an_error_in_its_span_and_its_log_line(mesh, logged):
    async def get_model(request, context):
        raise Unavailable("not now")

    channel = await mesh.raw_channel(await mesh.serve(GetModel=get_model))
    import grpc

    from moorage.registry.v1.model_service_pb2_grpc import ModelServiceStub

    with pytest.raises(grpc.aio.AioRpcError):
        await ModelServiceStub(channel).GetModel(GET)
    (span,) = mesh.spans.get_finished_spans()
    assert span.attributes["rpc.grpc.status_code"] == grpc.StatusCode.UNAVAILABLE.value[0]
    (line,) = [line for line in logged() if line["event"] == "call ended"]
    assert (line["code"], line["rpc"]) == ("UNAVAILABLE", "/moorage.registry.v1.ModelService/GetModel")
    assert line["duration_ms"] >= 0
    assert line["peer"].startswith("ipv4:127.0.0.1")
