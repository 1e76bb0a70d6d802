"""Ending processes, and remembering them across launchers."""

import json
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

_POLL_S = 0.02
_KILL_GRACE_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessRecord:
    """A process that was started, identified beyond the reuse of its number."""

    pid: int
    create_time: float
    """Seconds since the epoch."""

    @classmethod
    def of(cls, pid: int) -> "ProcessRecord | None":
        """Returns the record of a living process, None when it is gone already."""
        try:
            return cls(pid=pid, create_time=psutil.Process(pid).create_time())
        except psutil.NoSuchProcess:
            return None

    def write(self, path: Path) -> None:
        """Stores the record, whole or not at all."""
        staging = path.with_suffix(".new")
        staging.write_text(json.dumps({"pid": self.pid, "create_time": self.create_time}))
        staging.replace(path)

    @classmethod
    def read(cls, path: Path) -> "ProcessRecord":
        """Reads what `write` stored."""
        stored = json.loads(path.read_text())
        return cls(pid=stored["pid"], create_time=stored["create_time"])

    def process(self) -> psutil.Process | None:
        """Returns the process if it still runs, and is the same."""
        try:
            process = psutil.Process(self.pid)
            # The system's clock may have been set since: a second is no other process.
            same = abs(process.create_time() - self.create_time) < 1.0
        except psutil.NoSuchProcess:
            return None
        return process if same and not _gone(process) else None


def end_processes(
    processes: Sequence[psutil.Process], *, stop_signal: signal.Signals, grace_s: float
) -> None:
    """Asks processes to end, waits, and kills those that did not.

    They need not be children of this process, so a zombie that its parent does not reap counts as gone.
    """
    for sign, wait_s in ((stop_signal, grace_s), (signal.SIGKILL, _KILL_GRACE_S)):
        for process in processes:
            _send(process, sign)
        if _wait_gone(processes, wait_s):
            return


def _wait_gone(processes: Sequence[psutil.Process], timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while not all(_gone(process) for process in processes):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True


def _send(process: psutil.Process, sign: signal.Signals) -> None:
    try:
        process.send_signal(sign)
    except psutil.NoSuchProcess:
        return


def _gone(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
