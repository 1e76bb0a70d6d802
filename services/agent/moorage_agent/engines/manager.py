"""The engines of a node: starts, adopts and stops them, and knows where each stands.

It decides nothing: `core.reconcile` says what to start, and when; this does it, and calls back
whenever something has changed.
"""

import asyncio
import itertools
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Protocol

from moorage_agent.core.domain import EnginePhase, EngineStatus, InstanceAssignment
from moorage_agent.core.environment import engine_environment
from moorage_agent.core.fault import Fault
from moorage_agent.core.naming import endpoint
from moorage_agent.core.restart import RestartPolicy
from moorage_agent.core.usage import EngineCounters
from moorage_agent.engines.adoption import end_unknown, find_directory, find_leftovers, prune
from moorage_agent.engines.contract import Engine, Launch
from moorage_agent.engines.log_file import LogFile
from moorage_agent.engines.process import EngineProcess
from moorage_agent.engines.state import EngineRecord
from moorage_agent.engines.turns import StartTurns
from moorage_agent.engines.watch import EngineWatch, WatchTimes
from moorage_common.core.clock import Clock
from moorage_common.core.errors import (
    ErrorReason,
    FailedPrecondition,
    Internal,
    MoorageError,
    NotFound,
    Unavailable,
)
from moorage_common.core.states import EngineKind
from moorage_common.runtime.logs import get_logger
from moorage_common.runtime.tasks import SupervisedTask, TaskSupervisor

log = get_logger(__name__)

_ROTATE_EVERY_S = 10.0


class ModelFiles(Protocol):
    """Where engines find what they load."""

    def open_path(self, artifact: str, path: str) -> Path:
        """Returns where a file of a whole artifact lies. Raises `FailedPrecondition` if it is not there."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """What holds for all engines of a node."""

    root: Path
    """One directory per engine, under here."""
    host: str
    """Address that engines serve on."""
    public_host: str
    """Host under which others reach that address."""
    environment: Mapping[str, str]
    """The agent's own environment, of which engines get a part."""
    times: WatchTimes = field(default_factory=WatchTimes)
    restart: RestartPolicy = field(default_factory=RestartPolicy)
    log_limit_bytes: int = 16 * 2**20
    """An engine's log takes up to twice this."""
    parallel_starts: int = 4
    """So many engines load at the same time; the others wait for their turn."""


@dataclass(slots=True, kw_only=True)
class _Entry:
    """An engine and what moves it. Only its own task changes the status, but for `stop`."""

    status: EngineStatus
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    run: SupervisedTask | None = None
    log_since: int = 0
    """Where in the log the process's own lines begin. Not known of an adopted one."""
    answered_at: float | None = None


class EngineManager:
    """The engines of a node."""

    def __init__(
        self,
        *,
        engines: Mapping[EngineKind, Engine],
        installed: Collection[EngineKind],
        files: ModelFiles,
        settings: EngineSettings,
        tasks: TaskSupervisor,
        clock: Clock,
        random: Random,
        on_change: Callable[[], None],
    ) -> None:
        self._engines = engines
        self._installed = installed
        self._files = files
        self._settings = settings
        self._tasks = tasks
        self._clock = clock
        self._random = random
        self._on_change = on_change
        self._turns = StartTurns(settings.parallel_starts)
        self._entries: dict[str, _Entry] = {}
        self._runs = itertools.count(1)

    def statuses(self) -> tuple[EngineStatus, ...]:
        """Returns where every engine stands."""
        return tuple(entry.status for entry in self._entries.values())

    def pids(self) -> list[int]:
        """Returns the ids of the engines' processes; each leads a group."""
        return [entry.status.pid for entry in self._entries.values() if entry.status.pid]

    async def usage(self, status: EngineStatus) -> EngineCounters | None:
        """Returns what a running engine has counted; None if it does not say just now."""
        engine = self._engines[status.spec.kind]
        url = engine.locate(self._directory(status.uid))
        return None if url is None else await engine.usage(url)

    async def adopt(self) -> None:
        """Takes over the engines that an agent before this one started. Called once, before anything else."""
        root = self._settings.root
        leftovers = await asyncio.to_thread(find_leftovers, root)
        await end_unknown(leftovers)
        for record in leftovers.running:
            if record.process is not None:
                log.info("adopting a running engine", instance=record.instance, pid=record.process.pid)
                process = EngineProcess(record.process, is_child=False)
                status = replace(_status(record, EnginePhase.CHECKING), adopted=True)
                self._run(_Entry(status=status), process)
        for record in leftovers.ended:
            await self._note(record)
            status = _status(record, EnginePhase.BACKING_OFF)
            self._entries[record.uid] = _Entry(
                status=replace(status, retry_at=self._clock.monotonic(), error=_ended_unseen())
            )
        await asyncio.to_thread(prune, root, live=frozenset(self._entries))

    def start(self, assignment: InstanceAssignment) -> None:
        """Starts an engine; one that failed with the same spec, in the same generation, counts as restarted."""
        if assignment.spec is None:
            raise ValueError("an assignment without a spec cannot be started")
        status = EngineStatus(
            uid=assignment.uid,
            instance=assignment.instance,
            generation=assignment.generation,
            spec=assignment.spec,
            phase=EnginePhase.STARTING,
        )
        entry = self._entries.get(assignment.uid)
        before = None if entry is None else entry.status
        if before and (before.spec, before.generation) == (status.spec, status.generation):
            status = replace(
                status,
                restart_count=before.restart_count + 1,
                failures=before.failures,
                error=before.error,
            )
        self._run(_Entry(status=status), None)

    def stop(self, uid: str) -> None:
        """Ends an engine's process; when it is gone, so is the engine."""
        entry = self._entries[uid]
        entry.status = replace(entry.status, phase=EnginePhase.STOPPING, endpoint="")
        entry.stopping.set()
        self._on_change()

    def forget(self, uid: str) -> None:
        """Drops an engine that has no process."""
        del self._entries[uid]
        self._on_change()

    async def stop_all(self) -> None:
        """Ends every engine, and waits until all are gone."""
        entries = dict(self._entries)
        for uid, entry in entries.items():
            if entry.status.phase is EnginePhase.BACKING_OFF:
                self.forget(uid)
            else:
                self.stop(uid)
        for entry in entries.values():
            if entry.run is not None:
                await entry.run.wait()

    async def log_of(self, instance: str) -> LogFile:
        """Returns what the engine of an instance prints, or printed last.

        Raises:
            NotFound: It never ran here.
        """
        directory = await asyncio.to_thread(find_directory, self._settings.root, instance)
        if directory is None:
            raise NotFound(f"{instance} never ran on this worker", resource=instance)
        return self._log(directory)

    async def rotate_logs(self) -> None:
        """Keeps the engines' logs below their limit. Runs for ever."""
        while True:
            await asyncio.sleep(_ROTATE_EVERY_S)
            for uid in list(self._entries):
                await asyncio.to_thread(self._log(self._directory(uid)).rotate)

    def _run(self, entry: _Entry, process: EngineProcess | None) -> None:
        uid = entry.status.uid
        self._entries[uid] = entry
        entry.run = self._tasks.start(
            f"engine {uid} {next(self._runs)}", lambda: self._run_to_end(entry, process), restart=False
        )
        self._on_change()

    async def _run_to_end(self, entry: _Entry, process: EngineProcess | None) -> None:
        fault: Fault | None
        try:
            if process is None and await self._turns.take(entry.status.uid, unless=entry.stopping):
                process = await self._spawn(entry)
            fault = await self._supervise(entry, process) if process else None
        except MoorageError as error:
            fault = Fault.of(error)
        except OSError as error:
            fault = _cannot_start(error)
        except Exception:
            log.exception("running an engine broke", instance=entry.status.instance)
            if process is not None:
                await process.kill()
            fault = Fault.of(Internal("the agent failed to run the engine"))
        await self._ended(entry, fault)

    async def _spawn(self, entry: _Entry) -> EngineProcess:
        spec = entry.status.spec
        engine = self._engine_to_start(spec.kind)
        directory = self._directory(entry.status.uid)
        record = _record(entry.status)
        await asyncio.to_thread(record.write, directory)
        launch = Launch(
            spec=spec,
            model_path=await asyncio.to_thread(self._files.open_path, spec.artifact, spec.entry_point),
            directory=directory,
            host=self._settings.host,
        )
        command = engine.command(launch)
        entry.log_since = self._log(directory).end
        process = await asyncio.to_thread(
            EngineProcess.spawn,
            command.arguments,
            environment=engine_environment(
                self._settings.environment, spec, directory=str(directory), more=command.environment
            ),
            log=self._log(directory).path,
            cwd=directory,
        )
        await self._note(replace(record, process=process.identity))
        log.info("engine started", instance=record.instance, pid=process.pid)
        return process

    async def _supervise(self, entry: _Entry, process: EngineProcess) -> Fault | None:
        """Returns why the engine ended; None if it was told to."""
        status = entry.status
        entry.status = replace(status, pid=process.pid, started_at=process.started_at)
        self._on_change()
        directory = self._directory(status.uid)
        watch = EngineWatch(
            engine=self._engines[status.spec.kind],
            process=process,
            directory=directory,
            alias=status.spec.alias,
            log=self._log(directory),
            log_since=entry.log_since,
            times=self._settings.times,
            clock=self._clock,
            on_answer=lambda url: self._answered(entry, url),
        )
        ending = asyncio.create_task(watch.until_ended())
        stopping = asyncio.create_task(entry.stopping.wait())
        try:
            await asyncio.wait({ending, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not stopping.done():
                return ending.result()
        finally:
            for task in (ending, stopping):
                task.cancel()
            await asyncio.wait({ending, stopping})
        await process.stop(grace_s=self._settings.times.stop_grace_s)
        return None

    async def _note(self, record: EngineRecord) -> None:
        """Writes a record down if that is possible: an engine is found by its mark as well."""
        try:
            await asyncio.to_thread(record.write, self._directory(record.uid))
        except (MoorageError, OSError) as error:
            log.warning("cannot write an engine's state", instance=record.instance, error=str(error))

    def _answered(self, entry: _Entry, url: str) -> None:
        if entry.stopping.is_set():
            return
        entry.answered_at = self._clock.monotonic()
        self._turns.give_back(entry.status.uid)
        entry.status = replace(
            entry.status, phase=EnginePhase.RUNNING, endpoint=endpoint(url, host=self._settings.public_host)
        )
        log.info("engine answers", instance=entry.status.instance, endpoint=entry.status.endpoint)
        self._on_change()

    async def _ended(self, entry: _Entry, fault: Fault | None) -> None:
        status = entry.status
        self._turns.give_back(status.uid)
        if fault is not None:
            log.warning("engine failed", instance=status.instance, error=fault.message)
            status = self._backing_off(entry, fault)
        # Before anybody can see that it ended, and start another, which writes to the same place.
        await self._note(_record(status))
        if entry.stopping.is_set():
            log.info("engine stopped", instance=status.instance)
            del self._entries[status.uid]
        else:
            entry.status = status
        self._on_change()

    def _backing_off(self, entry: _Entry, fault: Fault) -> EngineStatus:
        now = self._clock.monotonic()
        answered_for_s = 0.0 if entry.answered_at is None else now - entry.answered_at
        policy = self._settings.restart
        failures = policy.failures_after(failures=entry.status.failures, answered_for_s=answered_for_s)
        return replace(
            entry.status,
            phase=EnginePhase.BACKING_OFF,
            pid=0,
            endpoint="",
            started_at=0.0,
            failures=failures,
            retry_at=now + policy.delay_s(failures, self._random),
            error=fault,
        )

    def _engine_to_start(self, kind: EngineKind) -> Engine:
        if kind not in self._installed:
            raise FailedPrecondition(
                f"the engine {kind.value} is not installed on this worker, or does not run; its agent's log says why",
                reason=ErrorReason.ENGINE_NOT_INSTALLED,
            )
        return self._engines[kind]

    def _directory(self, uid: str) -> Path:
        return self._settings.root / uid

    def _log(self, directory: Path) -> LogFile:
        return LogFile(directory, limit_bytes=self._settings.log_limit_bytes)


def _status(record: EngineRecord, phase: EnginePhase) -> EngineStatus:
    return EngineStatus(
        uid=record.uid,
        instance=record.instance,
        generation=record.generation,
        spec=record.spec,
        phase=phase,
        restart_count=record.restart_count,
        failures=record.failures,
    )


def _record(status: EngineStatus) -> EngineRecord:
    return EngineRecord(
        uid=status.uid,
        instance=status.instance,
        generation=status.generation,
        spec=status.spec,
        restart_count=status.restart_count,
        failures=status.failures,
    )


def _ended_unseen() -> Fault:
    return Fault(
        kind=Unavailable,
        reason=ErrorReason.ENGINE_EXITED,
        message="the engine ended while no agent ran on its worker",
    )


def _cannot_start(error: OSError) -> Fault:
    return Fault(
        kind=FailedPrecondition,
        reason=ErrorReason.ENGINE_NOT_INSTALLED,
        message=f"the engine's program cannot be started: {error.strerror or type(error).__name__}",
    )
