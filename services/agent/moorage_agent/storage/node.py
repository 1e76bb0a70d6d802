"""Who this node is, and that only one agent is it."""

import fcntl
import os
from pathlib import Path
from typing import Self

from moorage_agent.files import read_json, write_json
from moorage_common.core.errors import FailedPrecondition
from moorage_common.core.ids import new_uid


class NodeLock:
    """Keeps two agents off one data directory. The system lets go of it however the process ends."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def take(cls, path: Path) -> Self:
        """Takes the lock.

        Raises:
            FailedPrecondition: Another process holds it.
        """
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
            os.close(descriptor)
            raise FailedPrecondition(
                f"another agent (process {holder or 'unknown'}) uses the data directory already",
                remedy="Stop that agent, or give this one a data directory of its own.",
            ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        return cls(descriptor)

    def release(self) -> None:
        """Lets go of the lock."""
        os.close(self._descriptor)


def load_node_id(path: Path) -> str:
    """Returns the id of the node that keeps this file; makes one up at the first time."""
    record = read_json(path)
    if record is not None and isinstance(record.get("node_id"), str):
        return str(record["node_id"])
    node_id = new_uid()
    write_json(path, {"node_id": node_id})
    return node_id
