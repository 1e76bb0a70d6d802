"""Watches one engine process until it ends, or has to be ended."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from moorage_agent.core.fault import Fault
from moorage_agent.engines.contract import Engine, EngineSick
from moorage_agent.engines.log_file import LogFile
from moorage_agent.engines.process import EngineProcess, Exit
from moorage_common.core.clock import Clock
from moorage_common.core.errors import ErrorReason, Unavailable

_TAIL_BYTES = 32 * 2**10


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchTimes:
    """How patient the agent is with an engine, in seconds."""

    start_timeout_s: float = 900.0
    """From the start of the process to its first answer."""
    interval_s: float = 10.0
    """Between two looks at an engine that answers."""
    answer_timeout_s: float = 10.0
    """For each answer to such a look."""
    deep_every: int = 30
    """Every so many looks, an idle engine has to compute."""
    sick_after: int = 3
    """So many looks in a row without an answer, and without computing, end the engine."""
    hopeless_after_s: float = 900.0
    """An engine that does not answer for so long is ended even if it computes."""
    stop_grace_s: float = 10.0
    """From SIGTERM to SIGKILL."""


class EngineWatch:
    """Watches one engine process."""

    def __init__(
        self,
        *,
        engine: Engine,
        process: EngineProcess,
        directory: Path,
        alias: str,
        log: LogFile,
        log_since: int,
        times: WatchTimes,
        clock: Clock,
        on_answer: Callable[[str], None],
    ) -> None:
        """Prepares to watch.

        Args:
            engine: What the process runs.
            process: The process.
            directory: The engine's own directory.
            alias: The model's name in the engine's API.
            log: What the engine prints.
            log_since: Offset in the log where what this process printed begins.
            times: How patient to be.
            clock: To measure patience with.
            on_answer: Called once, with the base URL, when the engine has answered for the first time.
        """
        self._engine = engine
        self._process = process
        self._directory = directory
        self._alias = alias
        self._log = log
        self._log_since = log_since
        self._times = times
        self._clock = clock
        self._on_answer = on_answer

    async def until_ended(self) -> Fault:
        """Waits until the process has ended, ending it if it is sick.

        Returns:
            Why it ended. Whatever its exit code: an engine does not end unless it was told to.
        """
        exiting = asyncio.create_task(self._process.wait())
        health = asyncio.create_task(self._watch_health())
        try:
            await asyncio.wait({exiting, health}, return_when=asyncio.FIRST_COMPLETED)
            if exiting.done():
                return await self._exit_fault(exiting.result())
            return await self._end(health)
        finally:
            for task in (exiting, health):
                task.cancel()
            await asyncio.wait({exiting, health})

    async def _end(self, health: asyncio.Task[NoReturn]) -> Fault:
        try:
            await health
        except _GiveUp as error:
            reason = await self._reason()
            # SIGTERM would be for one that still listens.
            await self._process.kill()
            return _fault(error.reason, f"{error}{_after_colon(reason)}")

    async def _watch_health(self) -> NoReturn:
        try:
            async with asyncio.timeout(self._times.start_timeout_s):
                url = await self._first_answer()
        except TimeoutError:
            raise _GiveUp(
                ErrorReason.ENGINE_START_TIMEOUT,
                f"the engine did not answer within {self._times.start_timeout_s:g} s of its start",
            ) from None
        self._on_answer(url)
        await self._stay_alive(url)

    async def _first_answer(self) -> str:
        started = self._clock.monotonic()
        while True:
            url = self._engine.locate(self._directory)
            try:
                if url is not None and await self._engine.answer(url, self._alias):
                    return url
            except EngineSick as error:
                raise _GiveUp(ErrorReason.ENGINE_UNHEALTHY, f"the engine started, but {error}") from error
            # A tiny model is there at once, a large one after minutes: neither is asked too often.
            await asyncio.sleep(min(0.5, max(0.01, (self._clock.monotonic() - started) / 10)))

    async def _stay_alive(self, url: str) -> NoReturn:
        looks = 0
        while True:
            await asyncio.sleep(self._times.interval_s)
            looks += 1
            deep = looks % self._times.deep_every == 0
            if await self._sickness(url, deep=deep) is not None:
                await self._recover(url)

    async def _recover(self, url: str) -> None:
        """Returns once the engine answers again.

        A busy engine may take no connection for minutes. What tells it from a hung one is that it
        computes: llama.cpp uses CPU even while it waits for a GPU.
        """
        since = self._clock.monotonic()
        cpu_s = await asyncio.to_thread(self._process.cpu_seconds)
        idle_looks = 1
        while True:
            await asyncio.sleep(self._times.interval_s)
            sickness = await self._sickness(url, deep=True)
            if sickness is None:
                return
            before, cpu_s = cpu_s, await asyncio.to_thread(self._process.cpu_seconds)
            computes = cpu_s - before >= 0.1 * self._times.interval_s
            idle_looks = 0 if computes else idle_looks + 1
            hopeless = self._clock.monotonic() - since >= self._times.hopeless_after_s
            if idle_looks >= self._times.sick_after or hopeless:
                raise _GiveUp(ErrorReason.ENGINE_UNHEALTHY, f"the engine stopped answering: {sickness}")

    async def _sickness(self, url: str, *, deep: bool) -> str | None:
        try:
            await self._engine.alive(url, self._alias, deep=deep, timeout_s=self._times.answer_timeout_s)
        except EngineSick as error:
            return str(error)
        return None

    async def _exit_fault(self, end: Exit) -> Fault:
        reason = await self._reason()
        if not reason and end.code == -9:
            reason = "by the system, perhaps because memory ran out"
        return _fault(ErrorReason.ENGINE_EXITED, f"the engine {end}{_after_colon(reason)}")

    async def _reason(self) -> str:
        log = await asyncio.to_thread(self._log.tail, _TAIL_BYTES, since=self._log_since)
        # The mesh's users need not learn where things lie on this node.
        return self._engine.explain(log).replace(f"{self._directory.parent.parent}/", "")


class _GiveUp(Exception):
    """The engine has to be ended."""

    def __init__(self, reason: ErrorReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def _fault(reason: ErrorReason, message: str) -> Fault:
    return Fault(
        kind=Unavailable, reason=reason, message=message, remedy="The engine's log has more: moor logs."
    )


def _after_colon(reason: str) -> str:
    return f": {reason}" if reason else ""
