import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def buf() -> Callable[..., subprocess.CompletedProcess[bytes]]:
    """Runs buf on the protos."""
    beside_python = Path(sys.executable).with_name("buf")
    program = str(beside_python) if beside_python.exists() else shutil.which("buf")
    if program is None:
        pytest.fail("buf is not installed: it comes with the extra dev")

    def run(*arguments: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run([program, *arguments], cwd=ROOT / "protos", capture_output=True, check=False)

    return run
