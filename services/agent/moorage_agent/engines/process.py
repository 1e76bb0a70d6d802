"""Processes that may outlive the agent, and that the next agent can find again without mistaking another.

An engine leads a process group of its own: signals meant for the agent do not reach it,
and everything that it starts can be ended with it.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psutil

_POLL_S = 0.25
"""How often a process is looked at where the system cannot tell when it ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessIdentity:
    """Tells a process from every other that has, had or will have its id on this machine."""

    pid: int
    start_ticks: int
    """When it started, by the kernel's own clock: unlike wall time, that is never corrected."""
    boot_id: str
    """Ids and ticks start again with the machine."""

    @classmethod
    def of(cls, pid: int) -> Self | None:
        """Returns the identity of the process that has this id now; None if it has ended."""
        try:
            ticks = _start_ticks(pid)
        except (OSError, psutil.Error, ValueError):
            return None
        return None if ticks is None else cls(pid=pid, start_ticks=ticks, boot_id=_boot_id())

    @property
    def lives(self) -> bool:
        """Whether this very process runs. One that ended and waits to be reaped does not."""
        return ProcessIdentity.of(self.pid) == self


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """How a process ended."""

    code: int | None
    """Exit code, or the negative number of the signal that killed it. None: not our child, so unknown."""

    def __str__(self) -> str:
        if self.code is None:
            return "ended"
        if self.code >= 0:
            return f"exited with code {self.code}"
        with contextlib.suppress(ValueError):
            return f"was killed by {signal.Signals(-self.code).name}"
        return f"was killed by signal {-self.code}"


class EngineProcess:
    """One engine's process, started by this agent or found by it."""

    def __init__(self, identity: ProcessIdentity, *, is_child: bool) -> None:
        self.identity = identity
        self._is_child = is_child
        self._exit: Exit | None = None
        self._waiting = asyncio.Lock()

    @classmethod
    def spawn(cls, arguments: Sequence[str], *, environment: Mapping[str, str], log: Path, cwd: Path) -> Self:
        """Starts a process. Its output is appended to the log file.

        Raises:
            OSError: It cannot be started.
        """
        with log.open("ab") as output:
            process = subprocess.Popen(
                list(arguments),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                cwd=cwd,
                close_fds=True,
                start_new_session=True,
            )
        # It is ours to reap, by its id: the Popen object may go, and must not complain about it.
        process.returncode = 0
        identity = ProcessIdentity.of(process.pid)
        # An engine that has ended already is still there, to be reaped.
        return cls(identity or _ended(process.pid), is_child=True)

    @classmethod
    def adopt(cls, identity: ProcessIdentity) -> Self | None:
        """Takes a process over that an agent before this one started; None if it has ended."""
        return cls(identity, is_child=False) if identity.lives else None

    @property
    def pid(self) -> int:
        """Its id."""
        return self.identity.pid

    @property
    def started_at(self) -> float:
        """When it started, in seconds since 1970; 0 if it has ended."""
        try:
            return psutil.Process(self.pid).create_time()
        except psutil.Error:
            return 0.0

    def cpu_seconds(self) -> float:
        """Returns the CPU time that it and the others in its group have used."""
        return sum(_cpu_seconds(pid) for pid in group_members([self.pid]))

    async def wait(self) -> Exit:
        """Waits until it has ended, and ends what it left behind in its group."""
        async with self._waiting:
            if self._exit is None:
                await self._until_gone()
                # Before it is reaped: until then nobody else can get its id.
                self.signal(signal.SIGKILL)
                self._exit = Exit(code=_reap(self.pid) if self._is_child else None)
        return self._exit

    async def stop(self, *, grace_s: float) -> Exit:
        """Ends it and everything in its group: SIGTERM, and SIGKILL after a grace."""
        self.signal(signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                return await self.wait()
        return await self.kill()

    async def kill(self) -> Exit:
        """Ends it and everything in its group at once: for one that hangs, and would not hear SIGTERM."""
        self.signal(signal.SIGKILL)
        return await self.wait()

    def signal(self, number: int) -> None:
        """Sends a signal to its group, unless it has been waited for: its id may be another's by now."""
        if self._exit is not None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    async def _until_gone(self) -> None:
        if not hasattr(os, "pidfd_open"):
            await self._poll_until_gone()
            return
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        try:
            # Between finding it and opening it, its id may have gone to another.
            if self.identity.lives:
                await _readable(descriptor)
        finally:
            os.close(descriptor)

    async def _poll_until_gone(self) -> None:
        while self.identity.lives:  # noqa: ASYNC110 (the system cannot tell)
            await asyncio.sleep(_POLL_S)


def group_members(leaders: Iterable[int]) -> frozenset[int]:
    """Returns the ids of all processes in the groups that these processes lead."""
    groups = frozenset(leaders)
    return frozenset(pid for pid in psutil.pids() if _group(pid) in groups) if groups else frozenset()


def find_marked(variable: str) -> dict[str, ProcessIdentity]:
    """Returns the group leaders that carry an environment variable, by its value."""
    found: dict[str, ProcessIdentity] = {}
    for pid in psutil.pids():
        if _group(pid) != pid:
            continue
        with contextlib.suppress(psutil.Error, OSError):
            value = psutil.Process(pid).environ().get(variable)
            identity = ProcessIdentity.of(pid)
            if value is not None and identity is not None:
                found[value] = identity
    return found


async def _readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(descriptor, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(descriptor)


def _reap(pid: int) -> int | None:
    try:
        _, status = os.waitpid(pid, 0)
    except ChildProcessError:
        return None
    return os.waitstatus_to_exitcode(status)


def _ended(pid: int) -> ProcessIdentity:
    return ProcessIdentity(pid=pid, start_ticks=-1, boot_id="")


def _start_ticks(pid: int) -> int | None:
    stat = Path(f"/proc/{pid}/stat")
    if not Path("/proc/self/stat").exists():
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else round(process.create_time() * 100)
    # The name, in brackets, may hold spaces and brackets itself.
    fields = stat.read_text().rpartition(")")[2].split()
    return None if fields[0] in {"Z", "X"} else int(fields[19])


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return str(int(psutil.boot_time()))


def _group(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except (ProcessLookupError, PermissionError):
        return 0


def _cpu_seconds(pid: int) -> float:
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system)
