"""How one engine process is watched: real processes that behave as badly as engines do."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from agent_lab import IMPATIENT

from moorage_agent.core.fault import Fault
from moorage_agent.engines.contract import Command, EngineSick, InstalledEngine, Launch
from moorage_agent.engines.log_file import LogFile
from moorage_agent.engines.process import EngineProcess, ProcessIdentity
from moorage_agent.engines.watch import EngineWatch, WatchTimes
from moorage_common.core.clock import SystemClock
from moorage_common.core.errors import ErrorReason
from moorage_common.core.states import EngineKind

SLEEPS = "sleep 1000"
COMPUTES = "while :; do :; done"


@dataclass
class ScriptedEngine:
    """An engine whose API does what the test says."""

    kind: EngineKind = EngineKind.LLAMA_CPP
    url: str | None = "http://127.0.0.1:1"
    answers: bool = True
    sick: str = ""
    looks: int = 0
    looked: asyncio.Event = field(default_factory=asyncio.Event)

    async def installed(self) -> InstalledEngine:
        raise NotImplementedError

    def command(self, launch: Launch) -> Command:
        raise NotImplementedError

    def locate(self, directory: Path) -> str | None:
        return self.url

    async def answer(self, url: str, alias: str) -> bool:
        return self.answers

    async def alive(self, url: str, alias: str, *, deep: bool, timeout_s: float) -> None:
        self.looks += 1
        self.looked.set()
        if self.sick:
            raise EngineSick(self.sick)

    def explain(self, log: str) -> str:
        return log.strip().splitlines()[-1] if log.strip() else ""

    async def until_looked(self, times: int) -> None:
        async with asyncio.timeout(30):
            while self.looks < times:
                self.looked.clear()
                await self.looked.wait()


@dataclass
class Watched:
    process: EngineProcess
    engine: ScriptedEngine
    watching: asyncio.Task[Fault]
    answered: list[str]


@dataclass
class Bench:
    directory: Path
    running: list[Watched] = field(default_factory=list)

    def watch(self, script: str, engine: ScriptedEngine, times: WatchTimes = IMPATIENT) -> Watched:
        log = LogFile(self.directory)
        process = EngineProcess.spawn(
            ["/bin/sh", "-c", script], environment={}, log=log.path, cwd=self.directory
        )
        answered: list[str] = []
        watch = EngineWatch(
            engine=engine,
            process=process,
            directory=self.directory,
            alias="tiny",
            log=log,
            log_since=0,
            times=times,
            clock=SystemClock(),
            on_answer=answered.append,
        )
        watched = Watched(process, engine, asyncio.create_task(watch.until_ended()), answered)
        self.running.append(watched)
        return watched


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    for watched in bench.running:
        watched.watching.cancel()
        await asyncio.wait({watched.watching})
        await watched.process.kill()


async def test_an_engine_that_does_not_answer_but_computes_is_busy(bench: Bench) -> None:
    watched = bench.watch(
        COMPUTES, ScriptedEngine(sick="it did not answer"), replace(IMPATIENT, interval_s=0.2)
    )
    await watched.engine.until_looked(10)
    assert not watched.watching.done()


async def test_one_that_neither_answers_nor_computes_hangs(bench: Bench) -> None:
    watched = bench.watch(SLEEPS, ScriptedEngine(sick="it did not answer"))
    fault = await watched.watching
    assert fault.reason is ErrorReason.ENGINE_UNHEALTHY
    assert "it did not answer" in fault.message
    assert not watched.process.identity.lives


async def test_one_that_computes_for_ever_without_answering_is_hopeless(bench: Bench) -> None:
    times = replace(IMPATIENT, hopeless_after_s=0.5)
    watched = bench.watch(COMPUTES, ScriptedEngine(sick="it did not answer"), times)
    assert (await watched.watching).reason is ErrorReason.ENGINE_UNHEALTHY


async def test_one_that_recovers_is_kept(bench: Bench) -> None:
    engine = ScriptedEngine(sick="it did not answer")
    watched = bench.watch(SLEEPS, engine, replace(IMPATIENT, sick_after=50))
    await engine.until_looked(3)
    engine.sick = ""
    await engine.until_looked(engine.looks + 5)
    assert not watched.watching.done()


async def test_exit_code_0_is_a_failure_too(bench: Bench) -> None:
    watched = bench.watch("echo bye; exit 0", ScriptedEngine(answers=False))
    fault = await watched.watching
    assert fault.reason is ErrorReason.ENGINE_EXITED
    assert fault.message == "the engine exited with code 0: bye"
    assert watched.answered == []


async def test_what_an_engine_leaves_behind_ends_with_it(bench: Bench) -> None:
    watched = bench.watch("sleep 1000 & echo $!; exit 3", ScriptedEngine(answers=False))
    child = int((await watched.watching).message.rpartition(" ")[2])
    async with asyncio.timeout(10):
        while ProcessIdentity.of(child) is not None:
            await asyncio.sleep(0.02)


async def test_it_tells_once_where_the_engine_answers(bench: Bench) -> None:
    watched = bench.watch(SLEEPS, ScriptedEngine())
    await watched.engine.until_looked(3)
    assert watched.answered == ["http://127.0.0.1:1"]


async def test_an_engine_that_ignores_sigterm_is_killed(bench: Bench) -> None:
    watched = bench.watch("trap '' TERM; while :; do sleep 0.1; done", ScriptedEngine())
    await watched.engine.until_looked(1)
    end = await watched.process.stop(grace_s=0.2)
    assert end.code == -9
