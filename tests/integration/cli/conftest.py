"""Directories and ports for real processes, and a stdout that has no logs of servers in this process."""

import io
import logging
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from moorage_common.runtime.logs import configure_logs


@pytest.fixture
def open_dir() -> Iterator[Path]:
    """A directory that an unprivileged user can reach, which pytest's own are not."""
    path = Path(tempfile.mkdtemp(prefix="moorage-test-"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@pytest.fixture(autouse=True)
def logs_elsewhere() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    configure_logs(style="json", stream=io.StringIO())
    yield
    root.handlers = handlers
    root.setLevel(level)
