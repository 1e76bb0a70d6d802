"""A mesh that the tests share, a hub that it pulls from, and meshes of a test's own."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from mesh_under_test import PROCESSES, MeshUnderTest

from moorage_cli.quickstart.tiny_model import TinyModel, write_tiny_model

HUB_BYTES_PER_S = 400_000
"""A tiny model takes two seconds: time enough to be in the middle of it."""


@pytest.fixture(scope="session")
def open_root() -> Iterator[Path]:
    """A directory that PostgreSQL's user can reach, which pytest's own are not."""
    path = Path(tempfile.mkdtemp(prefix="moorage-e2e-"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def hub(open_root: Path) -> Iterator[tuple[str, Path]]:
    """A throttled hub: its address, and the directory that it serves."""
    root = open_root / "hub"
    root.mkdir()
    command = [sys.executable, "-m", "moorage_cli.quickstart.hub", "--root", str(root), "--port", "0"]
    with subprocess.Popen(
        [*command, "--rate", str(HUB_BYTES_PER_S)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield process.stdout.readline().split()[-1], root
        process.terminate()


@pytest.fixture(scope="session")
def mesh(open_root: Path, hub: tuple[str, Path]) -> Iterator[MeshUnderTest]:
    """A mesh that all tests share. Each uses models of its own."""
    url, models = hub
    settings = {
        "MOORAGE_DOWNLOADER_HF_ENDPOINT": url,
        # A killed agent's worker is missed soon enough for a test.
        "MOORAGE_REGISTRY_LEASE_TTL_S": "5",
    }
    mesh = MeshUnderTest(open_root / "mesh", models, settings)
    mesh.start()
    yield mesh
    everything = [psutil.Process(mesh.pid(name)) for name in PROCESSES if mesh.is_alive(name)]
    assert len(everything) == len(PROCESSES), mesh.said()
    assert mesh.stop() == 0, mesh.said()
    assert not any(process.is_running() for process in everything)


@pytest.fixture(scope="session")
def tiny_file(open_root: Path) -> Path:
    """A tiny model as a file on this machine."""
    path = open_root / "tiny.gguf"
    write_tiny_model(path, TinyModel())
    return path


@pytest.fixture
def make_mesh(open_root: Path, hub: tuple[str, Path]) -> Iterator[Callable[[str], MeshUnderTest]]:
    """Makes meshes of a test's own, not started yet."""
    made: list[MeshUnderTest] = []

    def make(name: str) -> MeshUnderTest:
        home = open_root / name / "mesh"
        home.parent.mkdir()
        made.append(MeshUnderTest(home, hub[1], {"MOORAGE_DOWNLOADER_HF_ENDPOINT": hub[0]}))
        return made[-1]

    yield make
    for mesh in made:
        if mesh.process is not None and mesh.process.poll() is None:
            mesh.stop()
