"""Background tasks that somebody owns: none is started and forgotten.

    async with TaskSupervisor() as tasks:
        tasks.start("sequencer", sequencer.run)
        ...
    # here every task has been cancelled and has ended

A task that raises is logged and started again after a back-off; one that returns is done.
"""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable
from random import Random
from types import TracebackType
from typing import Self

from moorage_common.core.backoff import Backoff, BackoffPolicy
from moorage_common.core.clock import Clock, SystemClock
from moorage_common.core.errors import MoorageError
from moorage_common.runtime.logs import bind, get_logger

log = get_logger(__name__)

Run = Callable[[], Awaitable[object]]


class SupervisedTask:
    """A handle on one background task."""

    def __init__(self, name: str, task: asyncio.Task[None]) -> None:
        self.name = name
        self._task = task

    @property
    def done(self) -> bool:
        """Whether it has ended and will not start again."""
        return self._task.done()

    async def stop(self) -> None:
        """Cancels it and waits until it has ended."""
        self._task.cancel()
        await self.wait()

    async def wait(self) -> None:
        """Waits until it has ended. Being cancelled while waiting leaves the task running."""
        await asyncio.wait({self._task})


class TaskSupervisor:
    """Owns background tasks: starts them, restarts those that fail, and ends them all."""

    def __init__(
        self,
        *,
        backoff: BackoffPolicy | None = None,
        random: Random | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._policy = backoff or BackoffPolicy()
        self._random = random or Random()
        self._clock = clock or SystemClock()
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def start(
        self, name: str, run: Run, *, restart: bool = True, backoff: BackoffPolicy | None = None
    ) -> SupervisedTask:
        """Starts a task.

        The task gets a context of its own: the deadline and the request id of a call that happens
        to start it are not its.

        Args:
            name: What the logs call it; unique among the tasks that run.
            run: Called for each start.
            restart: Whether to start it again when it raises; if not, the failure is only logged.
            backoff: How long to wait before it starts again; as for all tasks if not given.

        Raises:
            ValueError: A task with this name is running.
        """
        if name in self._tasks:
            raise ValueError(f"a task named {name!r} is running already")
        policy = backoff or self._policy
        supervision = self._restarting(name, run, policy) if restart else self._once(name, run)
        task = asyncio.create_task(supervision, name=name, context=contextvars.Context())
        self._tasks[name] = task
        task.add_done_callback(lambda _: self._tasks.pop(name))
        return SupervisedTask(name, task)

    async def close(self) -> None:
        """Cancels every task and waits until all have ended."""
        # A task may start another while it ends; that one must go too.
        while tasks := set(self._tasks.values()):
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _restarting(self, name: str, run: Run, policy: BackoffPolicy) -> None:
        backoff = Backoff(policy, self._random)
        while True:
            started = self._clock.monotonic()
            with bind(task=name):
                try:
                    await run()
                except Exception as error:  # noqa: BLE001
                    if self._clock.monotonic() - started > policy.cap_s:
                        backoff.reset()
                    delay_s = backoff.next_delay_s()
                    _log_failure(error, restart_in_s=round(delay_s, 3), failures=backoff.failures)
                else:
                    return
            await asyncio.sleep(delay_s)

    async def _once(self, name: str, run: Run) -> None:
        with bind(task=name):
            try:
                await run()
            except Exception as error:  # noqa: BLE001
                _log_failure(error)


def _log_failure(error: Exception, **facts: object) -> None:
    """A MoorageError says by itself what is wrong; anything else is a defect and needs its traceback."""
    if isinstance(error, MoorageError):
        log.warning("task failed", error=error.message, reason=error.reason.value, **facts)
    else:
        log.error("task failed", exc_info=error, **facts)
