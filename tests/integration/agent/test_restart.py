"""An instance that is restarted: real engines, a real registry, and agents that are killed in the middle."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from agent_mesh import WORKER, AgentProcess, PlayedMesh, StartAgent, eventually
from fleet_tools import GIB

from moorage.agent.v1 import agent_service_pb2 as agent_pb
from moorage.registry.v1 import instance_pb2
from moorage_agent.core.environment import MARK
from moorage_agent.engines.process import ProcessIdentity, find_marked

Ask = Callable[[str], Awaitable[str]]

RUNNING = instance_pb2.INSTANCE_STATE_RUNNING


async def until_running(mesh: PlayedMesh, generation: int) -> instance_pb2.Instance:
    return await mesh.until_instance(RUNNING, lambda found: found.generation == generation)


async def the_engine(agent: AgentProcess) -> agent_pb.Engine:
    [engine] = await eventually(
        agent.engines, lambda found: [e.state for e in found] == [agent_pb.ENGINE_STATE_RUNNING]
    )
    return engine


def engine_pids(root: Path) -> list[int]:
    """The engine processes that run under a directory, whoever knows of them."""
    return [found.pid for mark, found in find_marked(MARK).items() if Path(mark).is_relative_to(root)]


async def claimed(mesh: PlayedMesh) -> int:
    return (await mesh.fleet.worker(WORKER)).ram.claimed_bytes


async def test_a_restart_gives_another_process_in_the_same_place(
    mesh: PlayedMesh, start_agent: StartAgent, ask: Ask
) -> None:
    agent = start_agent()
    before = await mesh.deploy()
    first = await the_engine(agent)
    restarted = await mesh.fleet.restart(before)
    assert restarted.state == instance_pb2.INSTANCE_STATE_STARTING
    after = await until_running(mesh, before.generation + 1)
    second = await the_engine(agent)
    assert second.pid != first.pid
    assert (first.generation, second.generation) == (before.generation, after.generation)
    assert ProcessIdentity.of(first.pid) is None
    assert (await ask(after.endpoint)).startswith(" Ahoy!")
    assert (after.worker, after.placement, after.restart_count) == (before.worker, before.placement, 0)
    assert await claimed(mesh) == GIB
    assert mesh.blobs.reads == [0]


async def test_a_restart_ends_the_wait_of_a_crash_loop(
    mesh: PlayedMesh, start_agent: StartAgent, tmp_path: Path
) -> None:
    agent = start_agent()
    before = await mesh.deploy()
    os.kill((await the_engine(agent)).pid, signal.SIGKILL)
    await mesh.until_instance(RUNNING, lambda found: found.restart_count == 1)
    os.kill((await the_engine(agent)).pid, signal.SIGKILL)
    await mesh.until_instance(instance_pb2.INSTANCE_STATE_ERROR)
    await mesh.fleet.restart(before)
    after = await until_running(mesh, before.generation + 1)
    assert after.restart_count == 0
    assert not after.HasField("error")
    assert engine_pids(tmp_path) == [(await the_engine(agent)).pid]


async def test_of_many_restarts_at_once_the_last_one_counts(
    mesh: PlayedMesh, start_agent: StartAgent, ask: Ask, tmp_path: Path
) -> None:
    agent = start_agent()
    before = await mesh.deploy()
    for _ in range(5):
        await mesh.fleet.restart(before)
        await asyncio.sleep(0.1)
    after = await until_running(mesh, before.generation + 5)
    assert engine_pids(tmp_path) == [(await the_engine(agent)).pid]
    assert await ask(after.endpoint)


@pytest.mark.parametrize("delay_s", [0.0, 0.05, 0.2, 0.5])
async def test_an_agent_killed_in_the_middle_leaves_one_engine_of_the_new_generation(
    mesh: PlayedMesh, start_agent: StartAgent, ask: Ask, tmp_path: Path, delay_s: float
) -> None:
    agent = start_agent()
    before = await mesh.deploy()
    first = await the_engine(agent)
    await mesh.fleet.restart(before)
    await asyncio.sleep(delay_s)
    agent.kill()
    agent = start_agent()
    after = await until_running(mesh, before.generation + 1)
    engine = await the_engine(agent)
    assert engine.pid != first.pid
    assert engine.generation == after.generation
    assert engine_pids(tmp_path) == [engine.pid]
    assert (after.endpoint, after.restart_count) == (engine.endpoint, 0)
    assert await ask(after.endpoint)
    assert await claimed(mesh) == GIB


async def test_an_agent_killed_while_the_old_engine_refuses_to_end_ends_it_first(
    mesh: PlayedMesh, start_agent: StartAgent, tmp_path: Path
) -> None:
    agent = start_agent()
    before = await mesh.deploy()
    first = await the_engine(agent)
    # It hears no SIGTERM: the restart stays in its middle until the agent's patience ends.
    os.kill(first.pid, signal.SIGSTOP)
    await mesh.fleet.restart(before)
    await eventually(
        agent.engines, lambda found: [e.state for e in found] == [agent_pb.ENGINE_STATE_STOPPING]
    )
    [waiting] = await mesh.fleet.instances()
    assert waiting.state == instance_pb2.INSTANCE_STATE_STARTING
    agent.kill()
    assert engine_pids(tmp_path) == [first.pid]
    agent = start_agent("--engine-stop-grace-s", "1")
    await until_running(mesh, before.generation + 1)
    assert ProcessIdentity.of(first.pid) is None
    assert engine_pids(tmp_path) == [(await the_engine(agent)).pid]


async def test_a_restart_that_was_wanted_while_no_agent_ran_is_made_up_for(
    mesh: PlayedMesh, start_agent: StartAgent, ask: Ask
) -> None:
    agent = start_agent()
    before = await mesh.deploy()
    first = await the_engine(agent)
    agent.kill()
    await mesh.fleet.restart(before)
    assert await ask(before.endpoint)
    agent = start_agent()
    await until_running(mesh, before.generation + 1)
    assert (await the_engine(agent)).pid != first.pid


async def test_a_stop_in_the_middle_of_a_restart_leaves_nothing(
    mesh: PlayedMesh, start_agent: StartAgent, tmp_path: Path
) -> None:
    start_agent()
    before = await mesh.deploy()
    await mesh.fleet.restart(before)
    await mesh.fleet.stop()
    await mesh.until_instance(instance_pb2.INSTANCE_STATE_STOPPED)
    assert engine_pids(tmp_path) == []
    assert await claimed(mesh) == 0
