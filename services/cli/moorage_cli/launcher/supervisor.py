"""Keeps a few processes running: starts them in order, restarts what dies, stops them in reverse.

    start()   stage by stage; returns when every process was ready once
    …         a process that ends is started again after a back-off, for as long as it takes
    stop()    in reverse: the stop signal, a grace period, then SIGKILL

Every process is on a leash (see `leash`): it gets its stop signal when this one is killed. Where that does
not work, its record in ``run/`` lets the next supervisor end it before it starts its own.
"""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from moorage_cli.launcher.command import Command
from moorage_cli.launcher.events import ProcessEvent, ProcessEventKind
from moorage_cli.launcher.leash import leashed
from moorage_cli.launcher.processes import ProcessRecord, end_processes
from moorage_common.core.errors import ErrorReason, FailedPrecondition, MoorageError

_POLL_S = 0.03
_TELL_EVERY_S = 5.0
"""How often it is told that a process is not ready yet."""
_FIRST_BACKOFF_S = 0.2
_LONGEST_BACKOFF_S = 10.0
_HEALTHY_AFTER_S = 30.0
"""A process that lived this long starts again with the shortest back-off."""
_FIRST_START_TRIES = 3
_SENT_BY_OTHERS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""What these end was asked to end, or cut off: what it said last is about something else."""
_KEPT_LOG_BYTES = 16 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSpec:
    """One process to keep running."""

    name: str
    command: Callable[[], Command]
    """Called before every start, in another thread: it may prepare, and block."""
    is_ready: Callable[[int], Awaitable[bool]]
    """Whether the process with this id does its work. Polled; it must not raise."""
    ready_within_s: float | None = 60.0
    """A process that takes longer for its first start fails the start of everything. None: it may."""
    stop_grace_s: float = 10.0


class Supervisor:
    """Keeps processes running until it is told to stop.

    Args:
        stages: What to start, in order. The processes of one stage start together.
        run_dir: For the processes' records.
        log_dir: For ``NAME.log``, to which their output is appended.
        report: Is told what happens, in the event loop's thread.
    """

    def __init__(
        self,
        *,
        stages: Sequence[Sequence[ProcessSpec]],
        run_dir: Path,
        log_dir: Path,
        report: Callable[[ProcessEvent], None],
    ) -> None:
        self._stages = [
            [_Keeper(spec, run_dir=run_dir, log_dir=log_dir, report=report) for spec in stage]
            for stage in stages
        ]
        self._run_dir = run_dir
        self._log_dir = log_dir

    async def start(self) -> None:
        """Starts everything and waits until all of it is ready. Call it in the main thread.

        Raises:
            FailedPrecondition: A process did not come up; the message has its last words. Call `stop` then, too.
        """
        self._run_dir.mkdir(parents=True, exist_ok=True)
        self._log_dir.mkdir(parents=True, exist_ok=True)
        await asyncio.to_thread(end_recorded, self._run_dir)
        for stage in self._stages:
            await asyncio.gather(*(keeper.start() for keeper in stage))

    async def stop(self) -> None:
        """Stops everything that runs, in reverse order."""
        for stage in reversed(self._stages):
            await asyncio.gather(*(keeper.stop() for keeper in stage))

    def pids(self) -> dict[str, int]:
        """Returns the process ids of what runs now, by name."""
        keepers = [keeper for stage in self._stages for keeper in stage]
        return {keeper.name: keeper.pid for keeper in keepers if keeper.pid is not None}


class _Keeper:
    """Keeps one process running."""

    def __init__(
        self,
        spec: ProcessSpec,
        *,
        run_dir: Path,
        log_dir: Path,
        report: Callable[[ProcessEvent], None],
    ) -> None:
        self.name = spec.name
        self._spec = spec
        self._record_path = run_dir / f"{spec.name}.json"
        self._log_path = log_dir / f"{spec.name}.log"
        self._report = report
        self._process: asyncio.subprocess.Process | None = None
        self._stop_signal = signal.SIGTERM
        self._keeping: asyncio.Task[None] | None = None
        self._was_ready = asyncio.Event()

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Starts the process and waits until it was ready once; goes on keeping it then."""
        _rotate(self._log_path)
        keeping = self._keeping = asyncio.create_task(self._keep(), name=f"keep-{self.name}")
        ready = asyncio.create_task(self._was_ready.wait())
        limit_s = self._spec.ready_within_s
        try:
            await asyncio.wait((ready, keeping), timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ready.cancel()
        if keeping.done():
            await keeping
        if not self._was_ready.is_set():
            raise _did_not_start(self.name, f"not ready after {limit_s:g} s", self._log_path)

    async def stop(self) -> None:
        """Stops the process; one that does not run is fine."""
        keeping, self._keeping = self._keeping, None
        if keeping is None:
            return
        keeping.cancel()
        with contextlib.suppress(asyncio.CancelledError, MoorageError, OSError):
            await keeping
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            await self._end(process)
            self._tell(ProcessEventKind.STOPPED)
        self._record_path.unlink(missing_ok=True)

    async def _keep(self) -> None:
        backoff_s = _FIRST_BACKOFF_S
        tries = 0
        while True:
            started = time.monotonic()
            how, told_why = await self._run_once(started)
            tries += 1
            if time.monotonic() - started > _HEALTHY_AFTER_S:
                backoff_s = _FIRST_BACKOFF_S
            if not self._was_ready.is_set() and tries == _FIRST_START_TRIES:
                raise _did_not_start(self.name, how, self._log_path)
            last_line = last_log_line(self._log_path) if told_why else ""
            self._tell(ProcessEventKind.DIED, backoff_s, detail=how, last_line=last_line)
            await asyncio.sleep(backoff_s)
            backoff_s = min(2 * backoff_s, _LONGEST_BACKOFF_S)

    async def _run_once(self, started: float) -> tuple[str, bool]:
        """Runs the process to its end; returns how it ended, and whether its log may say why."""
        try:
            process = await self._spawn()
        except (MoorageError, OSError) as error:
            if not self._was_ready.is_set():
                raise
            return f"cannot be started: {error}", False
        await self._announce_when_ready(process, started)
        status = await process.wait()
        return describe_exit(status), -status not in _SENT_BY_OTHERS

    async def _spawn(self) -> asyncio.subprocess.Process:
        command = await asyncio.to_thread(self._spec.command)
        account = command.account
        argv = leashed(
            command.argv,
            death_signal=command.stop_signal,
            uid=account.uid if account else None,
            gid=account.gid if account else None,
        )
        self._stop_signal = command.stop_signal
        with self._log_path.open("ab") as log:
            # A session of its own: a terminal's Ctrl-C reaches the supervisor alone, which stops in order.
            self._process = await asyncio.create_subprocess_exec(
                *argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=dict(command.env),
                cwd=command.cwd,
                start_new_session=True,
            )
        record = ProcessRecord.of(self._process.pid)
        if record is not None:
            record.write(self._record_path)
        return self._process

    async def _announce_when_ready(self, process: asyncio.subprocess.Process, started: float) -> None:
        told = started
        while process.returncode is None:
            now = time.monotonic()
            if await self._spec.is_ready(process.pid):
                self._was_ready.set()
                self._tell(ProcessEventKind.READY, now - started)
                return
            if now - told > _TELL_EVERY_S:
                told = now
                self._tell(ProcessEventKind.WAITING, now - started, last_line=last_log_line(self._log_path))
            await asyncio.sleep(_POLL_S)

    def _tell(
        self, kind: ProcessEventKind, seconds: float = 0.0, *, detail: str = "", last_line: str = ""
    ) -> None:
        self._report(
            ProcessEvent(kind=kind, name=self.name, seconds=seconds, detail=detail, last_line=last_line)
        )

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        process.send_signal(self._stop_signal)
        try:
            await asyncio.wait_for(process.wait(), self._spec.stop_grace_s)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


def end_recorded(run_dir: Path) -> None:
    """Ends the processes that an earlier supervisor left behind, by their records; it blocks."""
    paths = sorted(run_dir.glob("*.json"))
    found = [ProcessRecord.read(path).process() for path in paths]
    leftovers = [process for process in found if process is not None]
    end_processes(leftovers, stop_signal=signal.SIGTERM, grace_s=10.0)
    for path in paths:
        path.unlink(missing_ok=True)


def describe_exit(status: int) -> str:
    """Says in words how a process ended, from its exit status (negative: a signal)."""
    if status >= 0:
        return f"exit code {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"


def last_log_line(path: Path) -> str:
    """Returns the last line of a log file that says something."""
    with path.open("rb") as log:
        log.seek(max(0, path.stat().st_size - 4096))
        lines = log.read().decode(errors="replace").splitlines()
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _rotate(path: Path) -> None:
    if path.exists() and path.stat().st_size > _KEPT_LOG_BYTES:
        path.replace(path.with_suffix(".log.1"))


def _did_not_start(name: str, how: str, log_path: Path) -> FailedPrecondition:
    last_words = last_log_line(log_path)
    return FailedPrecondition(
        f"{name} did not start: {how}" + (f"; its last words: {last_words}" if last_words else ""),
        reason=ErrorReason.SERVICE_UNAVAILABLE,
        remedy=f"Its log is {log_path}.",
    )
