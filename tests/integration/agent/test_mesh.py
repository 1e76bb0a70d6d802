"""Agents as real processes against a real registry; the test plays downloader and scheduler."""

import asyncio
import os
import signal
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from agent_lab import break_wheel
from agent_mesh import TELEMETRY, WORKER, BlobServer, PlayedMesh, StartAgent, eventually, free_port
from fleet_tools import Agent, Fleet

from moorage.agent.v1 import agent_service_pb2 as agent_pb
from moorage.registry.v1 import artifact_pb2, instance_pb2, worker_pb2
from moorage_agent.engines.process import ProcessIdentity
from moorage_common.core.errors import ErrorReason, NotFound
from moorage_common.rpc.channels import ChannelConfig
from moorage_common.rpc.clients import RegistryClient
from moorage_common.rpc.status import from_status

Ask = Callable[[str], Awaitable[str]]
MIB = 2**20


async def test_a_model_is_fetched_started_asked_and_stopped(
    mesh: PlayedMesh, start_agent: StartAgent, ask: Ask
) -> None:
    agent = start_agent()
    running = await mesh.deploy()
    assert (await ask(running.endpoint)).startswith(" Ahoy!")
    copy = await mesh.copy()
    assert (copy.state, copy.done_bytes) == (artifact_pb2.COPY_STATE_READY, len(mesh.blobs.content))
    assert mesh.blobs.reads == [0]
    [engine] = await agent.engines()
    assert engine.instance == running.name
    assert (engine.state, engine.endpoint) == (agent_pb.ENGINE_STATE_RUNNING, running.endpoint)
    assert ProcessIdentity.of(engine.pid) is not None
    await mesh.fleet.stop()
    await mesh.until_instance(instance_pb2.INSTANCE_STATE_STOPPED)
    assert await agent.engines() == []
    assert ProcessIdentity.of(engine.pid) is None
    # Started again, it needs no byte: its artifact is there.
    await mesh.fleet.start()
    [instance] = await mesh.fleet.instances()
    [result] = await mesh.fleet.nominate((instance, WORKER))
    assert result.status.code == 0
    await mesh.bind()
    again = await mesh.until_instance(instance_pb2.INSTANCE_STATE_RUNNING)
    assert await ask(again.endpoint)
    assert mesh.blobs.reads == [0]


async def test_an_engine_that_cannot_be_loaded_is_not_reported_and_the_log_says_why(
    mesh: PlayedMesh, start_agent: StartAgent, tmp_path: Path
) -> None:
    agent = start_agent(environment=break_wheel(tmp_path))
    await mesh.until_ready()
    assert list((await mesh.fleet.worker(WORKER)).facts.engines) == []
    [line] = [line for line in agent.said().splitlines() if "the engine cannot be used" in line]
    assert "LLAMA_CPP" in line
    assert "libgomp.so.1: file too short" in line


async def test_what_an_agent_tells_of_its_node(mesh: PlayedMesh, start_agent: StartAgent) -> None:
    agent = start_agent()
    running = await mesh.deploy()
    async with agent.client() as client:
        node = await client.agent.GetNode(agent_pb.GetNodeRequest())
        assert node.worker == f"workers/{WORKER}"
        assert node.registered
        assert node.facts == (await mesh.fleet.worker(WORKER)).facts
        assert node.facts.agent_address == agent.address
        assert [engine.version for engine in node.facts.engines] != [""]
        assert "ram" in node.foreign_bytes
        stored = await client.agent.GetStorage(agent_pb.GetStorageRequest())
        assert [(item.artifact, item.ready) for item in stored.artifacts] == [
            ("artifacts/tiny-artifact", True)
        ]
        assert stored.storage.artifact_bytes == len(mesh.blobs.content)
        request = agent_pb.StreamEngineLogsRequest(instance=running.name, tail_lines=1000)
        chunks = [chunk async for chunk in client.agent.StreamEngineLogs(request)]
        assert b"model loaded" in b"".join(chunk.data for chunk in chunks)
        resumed = agent_pb.StreamEngineLogsRequest(
            instance=running.name, offset_bytes=chunks[-1].next_offset_bytes - 5
        )
        assert [len(chunk.data) async for chunk in client.agent.StreamEngineLogs(resumed)] == [5]
        with pytest.raises(NotFound):
            other = agent_pb.StreamEngineLogsRequest(instance="models/other/instances/x")
            _ = [chunk async for chunk in client.agent.StreamEngineLogs(other)]


async def test_the_worker_shows_what_was_measured(mesh: PlayedMesh, start_agent: StartAgent) -> None:
    start_agent()
    await mesh.until_ready()
    worker = await eventually(lambda: mesh.fleet.worker(WORKER), lambda found: found.storage.free_bytes > 0)
    assert 0 < worker.ram.foreign_bytes < worker.ram.total_bytes
    assert worker.ram.reserved_bytes == 512 * MIB


async def test_an_idle_agent_is_small(mesh: PlayedMesh, start_agent: StartAgent) -> None:
    agent = start_agent()
    await mesh.until_ready()
    await agent.engines()
    rss = psutil.Process(agent.process.pid).memory_info().rss
    print(f"an idle agent takes {rss / MIB:.0f} MiB")
    assert rss < 85 * MIB


@pytest.mark.parametrize("primary", [WORKER, "other"])
async def test_an_instance_over_several_workers_is_refused_and_stopped_by_all(
    mesh: PlayedMesh, start_agent: StartAgent, primary: str
) -> None:
    start_agent()
    await mesh.until_ready()
    [engine] = (await mesh.fleet.worker(WORKER)).facts.engines
    assert engine.single_worker_only
    async with mesh.fleet.agents("other") as [other]:
        await mesh.nominate()
        await mesh.pull()
        await mesh.until_instance(instance_pb2.INSTANCE_STATE_FETCHED)
        await other_has_it(mesh, other)
        [instance] = await mesh.fleet.instances()
        subordinate = "other" if primary == WORKER else WORKER
        binding = mesh.fleet.binding_over(instance, primary, subordinate)
        for claim in binding.placement.claims:
            claim.pool = "ram"
        [result] = await mesh.fleet.bind(binding)
        assert result.status.code == 0, result.status
        failed = await mesh.until_instance(instance_pb2.INSTANCE_STATE_ERROR)
        error = from_status(failed.error)
        assert error.reason is ErrorReason.DISTRIBUTION_UNSUPPORTED
        assert error.message.startswith(
            "this agent" if primary == WORKER else f"workers/{WORKER}: this agent"
        )
        await mesh.fleet.stop()
        await other.report(result.instance, instance_pb2.INSTANCE_STATE_STOPPED)
        await mesh.until_instance(instance_pb2.INSTANCE_STATE_STOPPED)
        assert (await mesh.fleet.worker(WORKER)).ram.claimed_bytes == 0


async def other_has_it(mesh: PlayedMesh, other: Agent) -> None:
    """Has another worker hold the artifact as well."""
    [instance] = await mesh.fleet.instances()
    await mesh.fleet.nominate((instance, ""))
    [instance] = await mesh.fleet.instances()
    await mesh.fleet.nominate((instance, "other"))
    await other.report_copy("artifacts/tiny-artifact", artifact_pb2.COPY_STATE_READY)
    await mesh.until_instance(instance_pb2.INSTANCE_STATE_FETCHED)
    [instance] = await mesh.fleet.instances()
    await mesh.fleet.nominate((instance, ""))


async def test_a_killed_engine_is_started_again(mesh: PlayedMesh, start_agent: StartAgent, ask: Ask) -> None:
    agent = start_agent()
    first = await mesh.deploy()
    [engine] = await agent.engines()
    os.kill(engine.pid, signal.SIGKILL)
    second = await mesh.until_instance(
        instance_pb2.INSTANCE_STATE_RUNNING, lambda found: found.restart_count == 1
    )
    assert second.endpoint != first.endpoint
    assert await ask(second.endpoint)


async def test_a_model_that_does_not_load_is_an_error_with_its_reason(
    mesh: PlayedMesh, start_agent: StartAgent
) -> None:
    start_agent()
    mesh.blobs.content = b"not a model"
    await mesh.nominate()
    await mesh.pull()
    await mesh.bind()
    failed = await mesh.until_instance(instance_pb2.INSTANCE_STATE_ERROR)
    error = from_status(failed.error)
    assert error.reason is ErrorReason.ENGINE_EXITED
    assert "invalid magic" in error.message


async def test_engines_survive_a_killed_agent_and_are_adopted(
    mesh: PlayedMesh, start_agent: StartAgent, ask: Ask
) -> None:
    first = start_agent()
    before = await mesh.deploy()
    [engine] = await first.engines()
    first.kill()
    assert await ask(before.endpoint)
    second = start_agent()
    adopted = await eventually(
        second.engines, lambda found: [e.state for e in found] == [agent_pb.ENGINE_STATE_RUNNING]
    )
    assert [(e.pid, e.restart_count) for e in adopted] == [(engine.pid, 0)]
    after = await mesh.until_instance(instance_pb2.INSTANCE_STATE_RUNNING)
    assert (after.endpoint, after.restart_count) == (before.endpoint, 0)
    await mesh.fleet.stop()
    await mesh.until_instance(instance_pb2.INSTANCE_STATE_STOPPED)
    assert ProcessIdentity.of(engine.pid) is None


async def test_engines_run_on_when_an_agent_is_told_to_stop(
    mesh: PlayedMesh, start_agent: StartAgent, ask: Ask
) -> None:
    agent = start_agent()
    running = await mesh.deploy()
    assert await agent.stop() == 0
    assert await ask(running.endpoint)


async def test_engines_stop_with_an_agent_that_was_asked_for_that(
    mesh: PlayedMesh, start_agent: StartAgent
) -> None:
    agent = start_agent("--stop-engines-on-exit")
    before = await mesh.deploy()
    [engine] = await agent.engines()
    assert await agent.stop() == 0
    assert ProcessIdentity.of(engine.pid) is None
    # Nothing of it is forgotten: the next agent starts it again.
    start_agent()
    await mesh.until_instance(
        instance_pb2.INSTANCE_STATE_RUNNING, lambda found: found.endpoint != before.endpoint
    )


async def test_bytes_that_arrived_before_a_kill_are_not_fetched_again(
    mesh: PlayedMesh, start_agent: StartAgent, tiny_model: Path
) -> None:
    first = start_agent()
    await mesh.nominate()
    first.kill()
    partial = first.output.parent / "agent" / "partial" / mesh.digest
    partial.write_bytes(mesh.blobs.content[:100_000])
    start_agent()
    await mesh.pull()
    await mesh.until_instance(instance_pb2.INSTANCE_STATE_FETCHED)
    assert mesh.blobs.reads == [100_000]


async def test_wrong_bytes_are_fetched_again(mesh: PlayedMesh, start_agent: StartAgent) -> None:
    agent = start_agent()
    mesh.blobs.flips = 1_000
    await mesh.nominate()
    await mesh.pull()
    failed = await eventually(mesh.copy, lambda found: found.state == artifact_pb2.COPY_STATE_FAILED)
    assert from_status(failed.error).reason is ErrorReason.DIGEST_MISMATCH
    mesh.blobs.flips = 0
    await mesh.until_instance(instance_pb2.INSTANCE_STATE_FETCHED)
    assert set(mesh.blobs.reads) == {0}
    quarantine = agent.output.parent / "agent" / "quarantine"
    assert 1 <= len(list(quarantine.iterdir())) <= 2


async def test_a_blob_that_is_gone_is_pulled_again(mesh: PlayedMesh, start_agent: StartAgent) -> None:
    start_agent()
    await mesh.nominate()
    mesh.blobs.gone = True
    [lease] = await mesh.fleet.lease_pulls(address=mesh.blobs.address)
    await mesh.finish_pull(lease)

    async def pull_state() -> int:
        return (await mesh.fleet.get_artifact("artifacts/tiny-artifact")).pull.state

    await eventually(pull_state, lambda found: found == artifact_pb2.PULL_STATE_QUEUED)
    mesh.blobs.gone = False
    await mesh.pull()
    await mesh.until_instance(instance_pb2.INSTANCE_STATE_FETCHED)


async def test_another_node_with_the_same_name_is_refused(
    mesh: PlayedMesh, start_agent: StartAgent, tmp_path: Path
) -> None:
    start_agent()
    await mesh.until_ready()
    second = start_agent(data_dir=tmp_path / "other")
    assert await second.wait() == 1
    assert "another node is registered as workers/node-a" in second.said()
    assert "Traceback" not in second.said()


async def test_a_second_agent_on_the_same_directory_is_refused(
    mesh: PlayedMesh, start_agent: StartAgent
) -> None:
    first = start_agent()
    await mesh.until_ready()
    second = start_agent()
    assert await second.wait() == 1
    assert f"another agent (process {first.process.pid}) uses the data directory" in second.said()


async def test_a_taken_port_is_said(start_agent: StartAgent) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        agent = start_agent(port=taken.getsockname()[1])
        assert await agent.wait() == 1
    assert "cannot listen on" in agent.said()


async def test_engines_serve_on_loopback_unless_told_otherwise(start_agent: StartAgent) -> None:
    agent = start_agent("--engine-host", "0.0.0.0")
    assert await agent.wait() == 2
    assert "not a loopback address" in agent.said()


async def test_a_data_directory_that_cannot_be_used_is_said(start_agent: StartAgent, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    agent = start_agent(data_dir=tmp_path / "file" / "agent")
    assert await agent.wait() == 1
    assert "data directory cannot be used: Not a directory" in agent.said()


async def test_an_agent_waits_for_its_registry(start_agent: StartAgent) -> None:
    agent = start_agent(registry=f"127.0.0.1:{free_port()}")
    await eventually(lambda: asyncio.to_thread(agent.said), lambda said: "waiting for it" in said)
    async with agent.client() as client:
        assert not (await client.agent.GetNode(agent_pb.GetNodeRequest())).registered
    assert await agent.stop() == 0


async def test_engines_run_on_while_the_registry_is_away(
    run_registry, start_agent: StartAgent, blobs: BlobServer, ask: Ask
) -> None:
    address = f"127.0.0.1:{free_port()}"
    agent = start_agent(registry=address)
    config = ChannelConfig(target=address, wait_for_ready=True)
    async with RegistryClient.connect(config, telemetry=TELEMETRY) as client:
        mesh = PlayedMesh(Fleet(client), blobs)
        async with run_registry(listen=address):
            running = await mesh.deploy()
        [engine] = await agent.engines()
        os.kill(engine.pid, signal.SIGKILL)
        [restarted] = await eventually(
            agent.engines,
            lambda found: [(e.state, e.restart_count) for e in found] == [(agent_pb.ENGINE_STATE_RUNNING, 1)],
        )
        assert await ask(restarted.endpoint)
        async with run_registry(listen=address):
            told = await mesh.until_instance(
                instance_pb2.INSTANCE_STATE_RUNNING, lambda found: found.restart_count == 1
            )
    assert told.endpoint == restarted.endpoint != running.endpoint


async def test_a_lease_that_was_replaced_is_obtained_again(mesh: PlayedMesh, start_agent: StartAgent) -> None:
    start_agent()
    running = await mesh.deploy()
    node_id = (await mesh.fleet.worker(WORKER)).facts.node_id
    await mesh.fleet.register(WORKER, node=node_id, gpus=0)
    await eventually(
        lambda: mesh.fleet.worker(WORKER),
        lambda found: found.state == worker_pb2.WORKER_STATE_READY and found.facts.hostname != "",
    )
    after = await mesh.until_instance(instance_pb2.INSTANCE_STATE_RUNNING)
    assert after.endpoint == running.endpoint


async def test_a_model_that_is_deleted_leaves_no_engine(mesh: PlayedMesh, start_agent: StartAgent) -> None:
    agent = start_agent()
    await mesh.deploy()
    await mesh.fleet.delete()

    async def gone() -> bool:
        with suppress(NotFound):
            await mesh.model()
            return False
        return True

    await eventually(gone, lambda found: found)
    assert await agent.engines() == []
