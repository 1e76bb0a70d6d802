"""A durable PostgreSQL of the benchmark's own, in a directory that goes with it."""

import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from moorage_cli.launcher.pgurls import PostgresUrls
from moorage_cli.launcher.postgres import EmbeddedPostgres


def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def scratch() -> Iterator[Path]:
    """A directory for a benchmark, removed afterwards. PostgreSQL's user may pass through it."""
    home = Path(tempfile.mkdtemp(prefix="moorage-bench-"))
    home.chmod(0o711)
    try:
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def postgres(home: Path) -> Iterator[PostgresUrls]:
    """A server whose commits are flushed to disk, with an empty database."""
    server = EmbeddedPostgres(home / "postgres", port=free_port())
    try:
        yield server.start()
    finally:
        server.stop()
