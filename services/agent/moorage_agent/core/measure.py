"""What others use of the node, and which changes of it are worth telling.

A worker's memory pools are "ram" and one per GPU, named by its UUID. What the mesh's own engines use
is in the registry's ledger of claims; an agent measures only what is not: foreign use.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from moorage_agent.core.usage import InstanceFigures

RAM = "ram"
"""The pool of the node's RAM."""

_FOREIGN_STEP_BYTES = 64 * 2**20
_FREE_STEP_BYTES = 256 * 2**20
_SPEED_STEP = 0.05
"""Part of a speed by which it must differ to be told again."""
_ACTIVITY_STEP_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageFigures:
    """Room for artifacts."""

    capacity_bytes: int = 0
    """Size of the file system."""
    free_bytes: int = 0
    """Free on it."""
    artifact_bytes: int = 0
    """Taken by artifacts, whole or not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurements:
    """What was measured; or, of it, what changed."""

    foreign_bytes: Mapping[str, int] = field(default_factory=dict)
    """Per memory pool, what processes use that are not the mesh's."""
    storage: StorageFigures | None = None
    """None: unchanged."""
    instances: Mapping[str, InstanceFigures] = field(default_factory=dict)
    """Of instances that run here, by their uids."""

    @property
    def empty(self) -> bool:
        """Whether there is nothing to tell."""
        return not self.foreign_bytes and self.storage is None and not self.instances


def foreign_bytes(*, used: int, own: int) -> int:
    """Returns what others use of a pool, never below 0.

    Args:
        used: What is used of it in all.
        own: What the mesh's engines use of it. It may have been measured a moment apart.
    """
    return max(0, used - own)


def changes(told: Measurements | None, now: Measurements) -> Measurements:
    """Returns what is worth telling, given what was told before (None: nothing).

    Free memory and disk tremble all the time; a step of 64 MiB of memory or 256 MiB of disk decides
    no placement. Of an instance it is worth telling that its speed differs by a twentieth, or that it was used
    a minute later than was told; of one that nobody has used there is nothing to tell.
    """
    instances = {
        uid: figures
        for uid, figures in now.instances.items()
        if figures.used and _moved(told.instances.get(uid) if told else None, figures)
    }
    if told is None:
        return replace(now, instances=instances)
    foreign = {
        pool: used
        for pool, used in now.foreign_bytes.items()
        if abs(used - told.foreign_bytes.get(pool, -_FOREIGN_STEP_BYTES)) >= _FOREIGN_STEP_BYTES
    }
    return Measurements(
        foreign_bytes=foreign,
        storage=now.storage if _storage_changed(told.storage, now.storage) else None,
        instances=instances,
    )


def merged(told: Measurements | None, more: Measurements) -> Measurements:
    """Returns what has been told, after ``more`` was told too."""
    if told is None:
        return more
    return Measurements(
        foreign_bytes={**told.foreign_bytes, **more.foreign_bytes},
        storage=more.storage or told.storage,
        instances={**told.instances, **more.instances},
    )


def _moved(told: InstanceFigures | None, now: InstanceFigures) -> bool:
    if told is None or told.generation != now.generation:
        return True
    speeds = (
        (told.decode_tokens_per_s, now.decode_tokens_per_s),
        (told.prefill_tokens_per_s, now.prefill_tokens_per_s),
    )
    return now.last_activity - told.last_activity >= _ACTIVITY_STEP_S or any(
        abs(after - before) > _SPEED_STEP * before for before, after in speeds
    )


def _storage_changed(told: StorageFigures | None, now: StorageFigures | None) -> bool:
    if told is None or now is None:
        return now is not told
    return (
        told.capacity_bytes != now.capacity_bytes
        or told.artifact_bytes != now.artifact_bytes
        or abs(told.free_bytes - now.free_bytes) >= _FREE_STEP_BYTES
    )
