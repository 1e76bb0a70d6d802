import socket

import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from moorage_common.core.errors import FailedPrecondition, InvalidArgument, Unavailable
from moorage_common.rpc.server import RpcServer, ServerConfig

MODELS = "moorage.registry.v1.ModelService"


async def test_health_is_per_service_and_not_serving_until_said(mesh):
    server = await mesh.serve()
    health = HealthStub(await mesh.raw_channel(server))

    async def status(service=""):
        response = await health.Check(HealthCheckRequest(service=service))
        return HealthCheckResponse.ServingStatus.Name(response.status)

    assert (await status(), await status(MODELS)) == ("SERVING", "SERVING")
    await server.set_not_serving(MODELS)
    assert (await status(), await status(MODELS)) == ("SERVING", "NOT_SERVING")
    await server.set_not_serving()
    assert await status() == "NOT_SERVING"
    await server.set_serving()
    assert (await status(), await status(MODELS)) == ("SERVING", "SERVING")


async def test_health_says_not_serving_right_after_the_start(mesh):
    async with RpcServer(ServerConfig(), telemetry=mesh.telemetry) as server:
        await server.start()
        health = HealthStub(await mesh.raw_channel(server))
        assert (await health.Check(HealthCheckRequest())).status == HealthCheckResponse.NOT_SERVING


async def test_a_watcher_of_health_sees_the_drain_and_does_not_hold_it_up(mesh):
    server = await mesh.serve(ServerConfig(drain_grace_s=60))
    watch = aiter(HealthStub(await mesh.raw_channel(server)).Watch(HealthCheckRequest(service=MODELS)))
    assert (await anext(watch)).status == HealthCheckResponse.SERVING
    await server.drain()


async def test_a_taken_port_is_one_clear_error(mesh):
    first = await mesh.serve()
    second = RpcServer(ServerConfig(listen=first.address), telemetry=mesh.telemetry)
    with pytest.raises(Unavailable) as raised:
        await second.start()
    assert raised.value.message == f"cannot listen on {first.address}: Address already in use"
    assert "--listen" in raised.value.remedy


async def test_a_port_is_free_again_after_a_drain(mesh):
    server = await mesh.serve()
    await server.drain()
    again = await mesh.serve(ServerConfig(listen=server.address))
    assert again.port == server.port


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0", "10.1.2.3:7600", "example.org:7600"])
async def test_only_loopback_is_served_in_plaintext(mesh, listen):
    with pytest.raises(FailedPrecondition) as raised:
        RpcServer(ServerConfig(listen=listen), telemetry=mesh.telemetry)
    assert "--insecure" in raised.value.remedy


@pytest.mark.parametrize("listen", ["", "7600", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:70000", "::1:7600"])
async def test_what_is_no_address_is_refused(mesh, listen):
    with pytest.raises(InvalidArgument) as raised:
        RpcServer(ServerConfig(listen=listen), telemetry=mesh.telemetry)
    assert [violation.field for violation in raised.value.violations] == ["listen"]


async def test_said_aloud_any_address_is_served_and_the_log_warns(mesh, logged):
    server = await mesh.serve(ServerConfig(listen="0.0.0.0:0", insecure=True))
    assert server.port > 0
    warnings = [line for line in logged() if line["level"] == "warning"]
    assert [line["event"].startswith("INSECURE") for line in warnings] == [True]


async def test_ipv6_loopback_is_served_where_the_machine_has_it(mesh):
    if not socket.has_ipv6:
        pytest.skip("no IPv6")
    try:
        server = await mesh.serve(ServerConfig(listen="[::1]:0"))
    except Unavailable:
        pytest.skip("no IPv6 on loopback")
    assert server.address == f"[::1]:{server.port}"


async def test_reflection_lists_the_services_and_can_be_switched_off(mesh):
    import asyncio

    import grpc

    server = await mesh.serve()

    def list_services(address):
        with grpc.insecure_channel(address) as channel:
            return set(ProtoReflectionDescriptorDatabase(channel).get_services())

    names = await asyncio.to_thread(list_services, server.address)
    assert {MODELS, "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"} <= names
    silent = await mesh.serve(ServerConfig(reflection=False))
    with pytest.raises(grpc.RpcError) as raised:
        await asyncio.to_thread(list_services, silent.address)
    assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_server_that_could_not_start_is_left_at_once(mesh):
    first = await mesh.serve()
    with pytest.raises(Unavailable):
        async with RpcServer(
            ServerConfig(listen=first.address, drain_grace_s=60), telemetry=mesh.telemetry
        ) as second:
            await second.start()
