"""What real llama.cpp says it has done, less what the agent asked it; and how the registry comes to know."""

import asyncio
from collections.abc import Awaitable, Callable

from agent_lab import EngineLab, assignment
from agent_mesh import PlayedMesh, StartAgent, eventually

from moorage_agent.usage import UsageMonitor
from moorage_common.core.clock import SystemClock

Ask = Callable[[str], Awaitable[str]]


async def test_only_what_others_asked_counts(lab: EngineLab, ask: Ask) -> None:
    manager = lab.manager()
    usage = UsageMonitor(manager, clock=SystemClock())
    manager.start(assignment(generation=7))
    status = await lab.until_running(manager)
    await usage.look()
    # The agent has the engine compute something every half second here.
    await asyncio.sleep(1.5)
    await usage.look()
    figures = usage.figures["uid-1"]
    assert (figures.generation, figures.generated_tokens, figures.used) == (7, 0, False)
    await ask(status.endpoint)
    await usage.look()
    figures = usage.figures["uid-1"]
    assert figures.used
    assert figures.generated_tokens > 1
    # The agent asked the same before: the rest of the prompt came from the cache.
    assert figures.prompt_tokens >= 1
    assert 1 < figures.decode_tokens_per_s < 100_000
    assert 1 < figures.prefill_tokens_per_s < 1_000_000
    assert figures.concurrent_requests == 1
    assert figures.request_count is None
    manager.stop("uid-1")
    await lab.until_none(manager)
    await usage.look()
    assert usage.figures == {}


async def test_an_engine_that_hangs_says_nothing_and_holds_up_nobody(lab: EngineLab) -> None:
    manager = lab.manager()
    manager.start(assignment())
    status = await lab.until_running(manager)
    manager.stop("uid-1")
    await lab.until_none(manager)
    assert await manager.usage(status) is None


async def test_the_registry_shows_how_fast_an_instance_answers(
    mesh: PlayedMesh, start_agent: StartAgent, ask: Ask
) -> None:
    start_agent()
    running = await mesh.deploy()
    await ask(running.endpoint)

    async def instance():
        [found] = await mesh.fleet.instances()
        return found

    found = await eventually(instance, lambda found: found.HasField("performance"), within_s=25)
    assert found.performance.decode_tokens_per_s > 1
    assert found.performance.generated_tokens > 1
    assert found.performance.HasField("last_activity_time")
    worker = await mesh.fleet.worker("node-a")
    assert worker.facts.cpu_product
