"""`moor up` itself: what it leaves when it is killed, and how the next one goes on."""

import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from mesh_under_test import PROCESSES, MeshUnderTest

from moorage_cli.quickstart.tiny_model import SENTENCE

pytestmark = pytest.mark.e2e


def test_a_killed_launcher_leaves_nothing_that_the_next_one_trips_over(
    make_mesh: Callable[[str], MeshUnderTest], tiny_file: Path
) -> None:
    mesh = make_mesh("killed")
    mesh.start()
    mesh.moor("deploy", f"file:{tiny_file}", "--name", "kept")
    left = [psutil.Process(mesh.pid(name)) for name in PROCESSES]
    addresses = {name: mesh.address(name) for name in PROCESSES}

    mesh.kill_launcher()
    if sys.platform == "linux":
        mesh.eventually(lambda: all(gone(process) for process in left))

    mesh.start()
    assert all(gone(process) for process in left)
    assert {name: mesh.address(name) for name in PROCESSES} == addresses
    mesh.moor("start", "kept", "--timeout", "60")
    mesh.eventually(lambda: mesh.moor("chat", "kept", "Who are you?", code=None).stdout.strip() == SENTENCE)
    assert mesh.stop() == 0


def gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
