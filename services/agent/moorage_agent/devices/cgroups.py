"""How much memory and CPU a container leaves to this process.

Inside a container the system reports the machine; what counts is the smallest limit on the way from
the process's control group up to the root. Version 2 of control groups is read, and version 1's
memory limit; a missing file is no limit.
"""

from dataclasses import dataclass
from pathlib import Path

_V1_UNLIMITED = 2**60
"""Version 1 says "no limit" by a number near 2**63."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryLimit:
    """The tightest memory limit, and what is used under it."""

    limit_bytes: int
    used_bytes: int
    """Without the page cache that the kernel can drop."""


def parse_limit(text: str) -> int | None:
    """Returns a limit in bytes; None for none."""
    text = text.strip()
    if not text.isdigit() or int(text) >= _V1_UNLIMITED:
        return None
    return int(text)


def parse_cpu_quota(text: str) -> float | None:
    """Returns how many cores ``cpu.max`` ("200000 100000") leaves; None for all."""
    fields = text.split()
    if len(fields) != 2 or not all(field.isdigit() for field in fields) or fields[1] == "0":
        return None
    return int(fields[0]) / int(fields[1])


def parse_stat(text: str, key: str) -> int:
    """Returns one number of ``memory.stat``; 0 if it is not there."""
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        if name == key and value.isdigit():
            return int(value)
    return 0


def memory_limit(root: Path, membership: str) -> MemoryLimit | None:
    """Returns the tightest memory limit on this process; None if there is none.

    Args:
        root: Where control groups are mounted, usually ``/sys/fs/cgroup``.
        membership: Content of ``/proc/self/cgroup``.
    """
    limits = [_read_v2(group) for group in _groups(root, membership, controller="")]
    limits += [_read_v1(group) for group in _groups(root / "memory", membership, controller="memory")]
    return min((limit for limit in limits if limit), key=lambda limit: limit.limit_bytes, default=None)


def cpu_quota(root: Path, membership: str) -> float | None:
    """Returns how many cores this process may use; None if it is not limited. Arguments as above."""
    quotas = [parse_cpu_quota(_read(group / "cpu.max")) for group in _groups(root, membership, controller="")]
    return min((quota for quota in quotas if quota), default=None)


def _groups(root: Path, membership: str, *, controller: str) -> list[Path]:
    """The process's group and those above it. A container often sees its own group as the root."""
    for line in membership.splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controller in controllers.split(","):
            group = root / path.lstrip("/")
            return [group, *(parent for parent in group.parents if parent.is_relative_to(root))]
    return [root]


def _read_v2(group: Path) -> MemoryLimit | None:
    return _limit(group, limit="memory.max", used="memory.current", droppable="inactive_file")


def _read_v1(group: Path) -> MemoryLimit | None:
    return _limit(
        group,
        limit="memory.limit_in_bytes",
        used="memory.usage_in_bytes",
        droppable="total_inactive_file",
    )


def _limit(group: Path, *, limit: str, used: str, droppable: str) -> MemoryLimit | None:
    limit_bytes = parse_limit(_read(group / limit))
    if limit_bytes is None:
        return None
    cache = parse_stat(_read(group / "memory.stat"), droppable)
    return MemoryLimit(
        limit_bytes=limit_bytes, used_bytes=max(0, (parse_limit(_read(group / used)) or 0) - cache)
    )


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
