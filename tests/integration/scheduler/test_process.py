"""The scheduler as a process: how it starts, what it says meanwhile, how it ends."""

import asyncio
import signal
import socket
import sys
from contextlib import asynccontextmanager

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from moorage.scheduler.v1 import scheduler_service_pb2 as pb
from moorage_common.core.errors import Unavailable
from moorage_common.rpc.channels import ChannelConfig
from moorage_common.rpc.clients import SchedulerClient
from moorage_common.runtime.telemetry import Telemetry

SERVING = health_pb2.HealthCheckResponse.SERVING


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@asynccontextmanager
async def started(*flags):
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "moorage_scheduler", *flags,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@asynccontextmanager
async def connected(address):
    config = ChannelConfig(target=address, wait_for_ready=True)
    async with SchedulerClient.connect(config, telemetry=Telemetry(service="test")) as client:
        yield client


async def health(client):
    stub = health_pb2_grpc.HealthStub(client.channel)
    request = health_pb2.HealthCheckRequest(service="moorage.scheduler.v1.SchedulerService")
    return (await stub.Check(request)).status


async def test_without_a_registry_it_waits_and_does_not_pretend_to_know():
    address = f"127.0.0.1:{free_port()}"
    nobody = f"127.0.0.1:{free_port()}"
    async with started("--listen", address, "--registry-address", nobody), connected(address) as client:
        request = pb.EvaluatePlacementRequest(model_name="models/m")
        with pytest.raises(Unavailable, match="registry"):
            await client.scheduler.EvaluatePlacement(request, timeout=20)
        assert await health(client) != SERVING


async def test_it_serves_once_the_registry_does_and_ends_cleanly(registry):
    address = f"127.0.0.1:{free_port()}"
    flags = ("--listen", address, "--registry-address", registry.address)
    async with started(*flags) as process, connected(address) as client:
        async with asyncio.timeout(30):
            while await health(client) != SERVING:
                await asyncio.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        _, errors = await asyncio.wait_for(process.communicate(), 30)
        assert process.returncode == 0, errors.decode()
        assert b"Traceback" not in errors


async def test_weights_that_contradict_each_other_are_refused_in_one_line():
    async with started("--weight-fit", "1") as process:
        _, errors = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 2
    (line,) = errors.decode().splitlines()
    assert line.startswith(
        "moorage-scheduler: bad settings: --weight-fit (MOORAGE_SCHEDULER_WEIGHT_FIT): the fit's"
    )


async def test_every_setting_is_explained():
    async with started("--help") as process:
        output, _ = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0
    text = output.decode()
    for flag in ("--registry-address", "--strategy", "--explain-workers", "--weight-spread"):
        assert flag in text
