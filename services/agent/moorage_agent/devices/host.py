"""CPU, RAM and platform of the node."""

import math
import os
import platform
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

from moorage_agent.devices import cgroups

_CGROUPS = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")
_CPUINFO = Path("/proc/cpuinfo")
_CPU_NAME = re.compile(r"^model name\s*:\s*(.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFacts:
    """What does not change while the agent runs."""

    hostname: str
    system: str
    """As Python names it: "Linux", "Darwin"."""
    machine: str
    """As the system names it: "x86_64", "aarch64", "arm64"."""
    cpu_cores: int
    """Cores that engines may use."""
    ram_total_bytes: int
    """RAM that processes may use; a container's limit counts."""
    cpu_product: str = ""
    """The CPU's name. Empty: not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RamUse:
    """RAM at one moment."""

    total_bytes: int
    used_bytes: int
    """Without what the kernel gives back on demand, as the page cache that holds mapped weights."""


def host_facts() -> HostFacts:
    """Reads the facts."""
    return HostFacts(
        hostname=socket.gethostname(),
        system=platform.system(),
        machine=platform.machine(),
        cpu_cores=cpu_cores(
            affinity=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
            quota=cgroups.cpu_quota(_CGROUPS, _membership()),
        ),
        ram_total_bytes=ram_use().total_bytes,
        cpu_product=cpu_product(_read(_CPUINFO)) or platform.processor(),
    )


def cpu_product(cpuinfo: str) -> str:
    """Returns the CPU's name, from what Linux tells of it. Empty: it tells none, as on many Arm machines."""
    named = _CPU_NAME.search(cpuinfo)
    return " ".join(named[1].split())[:255] if named else ""


def ram_use() -> RamUse:
    """Measures RAM now."""
    memory = psutil.virtual_memory()
    machine = RamUse(total_bytes=memory.total, used_bytes=memory.total - memory.available)
    return limited(machine, cgroups.memory_limit(_CGROUPS, _membership()))


def limited(machine: RamUse, limit: cgroups.MemoryLimit | None) -> RamUse:
    """Returns the machine's RAM as a process under a limit can have it."""
    if limit is None or limit.limit_bytes >= machine.total_bytes:
        return machine
    # Whichever runs out first: the limit, or the machine under everybody on it.
    free = min(limit.limit_bytes - limit.used_bytes, machine.total_bytes - machine.used_bytes)
    return RamUse(total_bytes=limit.limit_bytes, used_bytes=limit.limit_bytes - max(0, free))


def cpu_cores(*, affinity: int | None, quota: float | None) -> int:
    """Returns whole cores that engines may use, at least one."""
    cores = affinity or 1
    return cores if quota is None else max(1, min(cores, math.floor(quota)))


def own_ram_bytes(pids: Iterable[int]) -> int:
    """Returns RAM that processes hold for themselves: without mapped files, which the page cache holds."""
    return sum(_private_bytes(pid) for pid in pids)


def _private_bytes(pid: int) -> int:
    try:
        memory = psutil.Process(pid).memory_info()
    except psutil.Error:
        return 0
    return max(0, memory.rss - getattr(memory, "shared", 0))


def _membership() -> str:
    return _read(_MEMBERSHIP)


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""
