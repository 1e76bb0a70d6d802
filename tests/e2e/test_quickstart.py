"""`moor quickstart`: one command from nothing to an answer, and again."""

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from moorage_cli.quickstart.tiny_model import SENTENCE, TinyModel, write_tiny_model

pytestmark = pytest.mark.e2e

MOOR = Path(sys.executable).with_name("moor")


def quickstart(home: Path, *options: str) -> list[str]:
    # Below the ports that the system gives to outgoing connections, above those of the other mesh under test.
    first_port = str(30_000 + os.getpid() % 250 * 10)
    return [str(MOOR), "quickstart", "--data-dir", str(home), "--first-port", first_port, *options]


def processes_of(home: Path) -> list[psutil.Process]:
    """What still runs of a mesh: everything of it has the directory in its arguments or environment."""
    found = []
    for process in psutil.process_iter():
        try:
            known = " ".join([*process.cmdline(), *process.environ().values()])
        except psutil.Error:
            continue
        if str(home) in known and process.pid != os.getpid():
            found.append(process)
    return found


def test_once_answers_and_leaves_nothing_running_and_again_reuses_everything(open_root: Path) -> None:
    home = open_root / "quickstart"
    first = subprocess.run(quickstart(home, "--once"), capture_output=True, text=True, check=False)
    assert first.returncode == 0, first.stdout + first.stderr
    for told in ("postgres", "registry", "scheduler", "downloader", "agent", "inspected", "verified"):
        assert told in first.stdout
    assert SENTENCE in first.stdout
    assert processes_of(home) == []

    second = subprocess.run(quickstart(home, "--once"), capture_output=True, text=True, check=False)
    assert second.returncode == 0, second.stdout + second.stderr
    assert "reused" in second.stdout
    assert SENTENCE in second.stdout
    assert processes_of(home) == []


def test_it_stays_up_until_told_and_its_hints_work(open_root: Path) -> None:
    home = open_root / "quickstart-stays"
    with subprocess.Popen(quickstart(home), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told = []
        for line in process.stdout:
            told.append(line)
            if "stays up until Ctrl-C" in line:
                break
        hints = [
            line.strip() for line in told if re.match(r"\s+\S*(buf curl|moor (chat|explain|logs)) ", line)
        ]
        assert len(hints) == 6
        for hint in hints:
            tried = subprocess.run(shlex.split(hint), capture_output=True, text=True, timeout=60, check=False)
            assert tried.returncode == 0, (hint, tried.stderr)
            assert tried.stdout.strip(), hint
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        assert process.wait() == 0
    assert processes_of(home) == []


def test_it_deploys_another_model_from_the_hub_that_is_configured(
    open_root: Path, hub: tuple[str, Path]
) -> None:
    path = hub[1] / "test" / "Other_Model" / "other.gguf"
    path.parent.mkdir(parents=True)
    write_tiny_model(path, TinyModel(name="other", sentence="Another one answers."))
    home = open_root / "quickstart-other"
    done = subprocess.run(
        quickstart(home, "--once", "--model", "hf:test/Other_Model/other.gguf"),
        env={**os.environ, "HF_ENDPOINT": hub[0]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Another one answers." in done.stdout
    assert "moor explain other-model" in done.stdout


def test_a_model_that_is_not_there_fails_and_leaves_nothing_running(
    open_root: Path, hub: tuple[str, Path]
) -> None:
    home = open_root / "quickstart-missing"
    failed = subprocess.run(
        quickstart(home, "--model", "hf:test/missing/model.gguf"),
        env={**os.environ, "HF_ENDPOINT": hub[0]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert failed.returncode == 1
    assert "reason: SOURCE_NOT_FOUND" in failed.stderr
    assert processes_of(home) == []
