import asyncio
import contextvars
from random import Random

import pytest

from moorage_common.core.backoff import BackoffPolicy
from moorage_common.core.errors import Unavailable
from moorage_common.runtime.tasks import TaskSupervisor

FAST = BackoffPolicy(first_s=0.001, cap_s=0.002, floor_s=0)


def supervisor() -> TaskSupervisor:
    return TaskSupervisor(backoff=FAST, random=Random(1))


async def test_a_task_that_fails_is_started_again_until_it_returns() -> None:
    starts: list[Exception | None] = [OSError("defect"), Unavailable("away"), None]
    left = list(starts)

    async def run() -> None:
        if error := left.pop(0):
            raise error

    async with supervisor() as tasks:
        task = tasks.start("flaky", run)
        await task.wait()
        assert task.done
    assert left == []


async def test_a_task_that_shall_not_restart_is_started_once() -> None:
    starts = 0

    async def run() -> None:
        nonlocal starts
        starts += 1
        raise OSError("defect")

    async with supervisor() as tasks:
        await tasks.start("once", run, restart=False).wait()
    assert starts == 1


async def test_leaving_the_block_cancels_and_awaits_every_task() -> None:
    ended: list[str] = []

    async def until_cancelled(name: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append(name)

    async with supervisor() as tasks:
        tasks.start("a", lambda: until_cancelled("a"))
        tasks.start("b", lambda: until_cancelled("b"))
        await asyncio.sleep(0)
    assert sorted(ended) == ["a", "b"]


async def test_a_task_can_be_stopped_alone_and_its_name_used_again() -> None:
    async with supervisor() as tasks:
        first = tasks.start("engine", asyncio.Event().wait)
        with pytest.raises(ValueError, match="running already"):
            tasks.start("engine", asyncio.Event().wait)
        await first.stop()
        assert first.done
        second = tasks.start("engine", asyncio.Event().wait)
        assert not second.done


async def test_a_task_does_not_inherit_the_context_of_who_starts_it() -> None:
    deadline: contextvars.ContextVar[str] = contextvars.ContextVar("deadline", default="none")
    seen: list[str] = []

    async def run() -> None:
        seen.append(deadline.get())

    async with supervisor() as tasks:
        deadline.set("soon")
        await tasks.start("background", run).wait()
    assert seen == ["none"]


async def test_who_stops_waiting_leaves_the_task_running() -> None:
    async with supervisor() as tasks:
        task = tasks.start("long", asyncio.Event().wait)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(task.wait(), 0.01)
        assert not task.done
