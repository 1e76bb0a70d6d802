"""The probe, as the program that health checks run."""

import asyncio
import socket
import sys

from moorage_common.rpc.server import RpcServer, ServerConfig
from moorage_common.runtime.telemetry import Telemetry


async def probe(*arguments: str) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "moorage_common.rpc.probe", *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await asyncio.wait_for(process.communicate(), 30)
    return process.returncode, said.decode()


async def test_it_tells_a_server_that_serves_from_one_that_only_listens():
    async with RpcServer(ServerConfig(), telemetry=Telemetry(service="test")) as server:
        await server.start()
        assert await probe(server.address) == (1, f"{server.address} does not serve\n")
        await server.set_serving()
        assert await probe(server.address) == (0, f"{server.address} serves\n")
        await server.set_not_serving()
        assert (await probe(server.address))[0] == 1


async def test_nobody_there_does_not_serve():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        assert (await probe(f"127.0.0.1:{unused.getsockname()[1]}"))[0] == 1


async def test_what_listens_and_never_answers_does_not_serve():
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        assert (await probe(f"127.0.0.1:{mute.getsockname()[1]}"))[0] == 1


async def test_a_wrong_question_is_told_apart_from_a_service_that_is_down():
    code, said = await probe("nowhere")
    assert code == 2
    assert "127.0.0.1:7600" in said
    assert (await probe())[0] == 2
