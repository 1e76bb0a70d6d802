"""Finds the engines that an agent before this one left running."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from moorage_agent.core.environment import MARK
from moorage_agent.engines.process import EngineProcess, ProcessIdentity, find_marked
from moorage_agent.engines.state import EngineRecord

_KEPT_DIRECTORIES = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftovers:
    """What was found on the node."""

    running: tuple[EngineRecord, ...]
    """Engines whose process runs; the record names it."""
    ended: tuple[EngineRecord, ...]
    """Engines that ran when they were last written down, and do not any more."""
    unknown: tuple[ProcessIdentity, ...]
    """Engine processes of this node that no record explains."""


def find_leftovers(root: Path) -> Leftovers:
    """Looks through the engines' directories and the machine's processes.

    A process is found by its mark as well as by its record: an agent that was killed between the two
    writes around a start has left an engine whose record knows no process.
    """
    marked = {Path(value): identity for value, identity in find_marked(MARK).items()}
    running, ended = [], []
    for directory in sorted(root.iterdir()):
        record = EngineRecord.read(directory)
        if record is None:
            continue
        identity = marked.pop(directory, record.process)
        if identity is not None and identity.lives:
            running.append(replace(record, process=identity))
        elif record.process is not None:
            ended.append(replace(record, process=None))
    unknown = [identity for directory, identity in marked.items() if directory.parent == root]
    return Leftovers(running=tuple(running), ended=tuple(ended), unknown=tuple(unknown))


async def end_unknown(leftovers: Leftovers) -> None:
    """Ends the engine processes that no record explains: nobody could ever stop them otherwise."""
    for identity in leftovers.unknown:
        process = EngineProcess.adopt(identity)
        if process is not None:
            await process.kill()


def find_directory(root: Path, instance: str) -> Path | None:
    """Returns the directory of the engine that served an instance last; None if none ever did."""
    known = [
        directory
        for directory in root.iterdir()
        if (record := EngineRecord.read(directory)) is not None and record.instance == instance
    ]
    return max(known, key=lambda directory: directory.stat().st_mtime, default=None)


def prune(root: Path, *, live: frozenset[str]) -> None:
    """Drops the directories, and with them the logs, of the engines that are gone the longest.

    Args:
        root: Where the directories are.
        live: Names of the directories that are in use.
    """
    gone = [directory for directory in root.iterdir() if directory.name not in live]
    gone.sort(key=lambda directory: directory.stat().st_mtime, reverse=True)
    for directory in gone[_KEPT_DIRECTORIES:]:
        shutil.rmtree(directory, ignore_errors=True)
