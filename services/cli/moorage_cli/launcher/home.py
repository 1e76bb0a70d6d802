"""The data directory of a mesh on one machine: what is where, and who may use it.

mesh.json      where each service listens; clients read it, the next start reuses it
lock           held by the one `moor up` that runs here
run/           records of the processes that run
logs/          what they print
postgres/  downloader/  agent/  hub/    their own data
"""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from moorage_common.core.errors import ErrorReason, FailedPrecondition, InvalidArgument

DEFAULT_HOME = Path(".moorage")


@dataclass(frozen=True, slots=True)
class MeshHome:
    """A data directory. Nothing is made before `claim`."""

    root: Path

    @property
    def run_dir(self) -> Path:
        """Records of running processes."""
        return self.root / "run"

    @property
    def log_dir(self) -> Path:
        """Logs of the processes."""
        return self.root / "logs"

    @contextmanager
    def claim(self) -> Iterator[None]:
        """Makes the directory and holds it against any other launcher.

        Raises:
            FailedPrecondition: Another launcher runs here.
            InvalidArgument: The directory cannot be written.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            lock = (self.root / "lock").open("a+")
        except OSError as error:
            raise InvalidArgument(
                f"cannot use the data directory {self.root}: {error.strerror}",
                remedy="Give another one with --data-dir.",
            ) from error
        with lock:
            try:
                # The kernel drops the lock with the process, however that ends.
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                raise FailedPrecondition(
                    f"a mesh is up already in {self.root} (process {lock.read().strip() or 'unknown'})",
                    reason=ErrorReason.RESOURCE_EXISTS,
                    remedy="Use that one, stop it with Ctrl-C, or give another directory with --data-dir.",
                ) from None
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
            yield

    def addresses(self) -> dict[str, str]:
        """Returns "host:port" of every process, by name; empty when no mesh was ever up here."""
        try:
            stored: dict[str, str] = json.loads((self.root / "mesh.json").read_text())["addresses"]
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except (ValueError, KeyError, TypeError) as error:
            raise InvalidArgument(
                f"{self.root / 'mesh.json'} is not readable: {error}", remedy="Remove it and start the mesh."
            ) from error
        return stored

    def store_addresses(self, addresses: Mapping[str, str]) -> None:
        """Stores the addresses, whole or not at all."""
        staging = self.root / "mesh.json.new"
        staging.write_text(json.dumps({"addresses": dict(addresses)}, indent=2) + "\n")
        staging.replace(self.root / "mesh.json")
