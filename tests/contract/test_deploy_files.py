"""Every file in deploy/ is what its own tool takes for a sound one, and the tool can tell."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from deploy_files import DEPLOY

BIN = Path(sys.executable).parent


@dataclass(frozen=True, kw_only=True)
class Check:
    files: str
    """Pattern, in deploy/."""
    command: Callable[[Path], list[str]]
    breaks: tuple[str, str]
    """What is replaced, in the first file, to break it."""


CHECKS = {
    "hadolint": Check(
        files="Containerfile",
        command=lambda path: [str(BIN / "hadolint"), str(path)],
        breaks=("FROM runtime AS agent", "FORM runtime AS agent"),
    ),
    "check-jsonschema": Check(
        files="compose*.yaml",
        command=lambda path: [
            *(str(BIN / "check-jsonschema"), "--quiet"),
            *("--builtin-schema", "vendor.compose-spec", str(path)),
        ],
        breaks=("environment:", "enviroment:"),
    ),
    "shellcheck": Check(
        files="compose/*.sh",
        command=lambda path: [str(BIN / "shellcheck"), str(path)],
        breaks=('"$1.new"', "$1.new"),
    ),
    "systemd-analyze": Check(
        files="systemd/*.service",
        command=lambda path: [systemd("systemd-analyze"), "verify", "--man=no", str(path)],
        breaks=("ProtectSystem=", "ProtectSistem="),
    ),
    "systemd-sysusers": Check(
        files="systemd/moorage.conf",
        command=lambda path: [systemd("systemd-sysusers"), "--dry-run", str(path)],
        breaks=("u moorage-agent ", "user moorage-agent "),
    ),
}
CHECKED = [
    pytest.param(check, path, id=str(path.relative_to(DEPLOY)))
    for check in CHECKS.values()
    for path in sorted(DEPLOY.glob(check.files))
]
SECURITY = {"registry": 20, "scheduler": 20, "downloader": 20, "agent": 30}
"""The most that systemd may say of a unit's exposure, in tenths."""


@pytest.mark.parametrize(("check", "path"), CHECKED)
def test_a_file_passes_its_own_tool(check: Check, path: Path, tmp_path: Path) -> None:
    assert problems(check, tmp_path / path.name, path.read_text()) == ""


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_a_broken_copy_does_not(check: Check, tmp_path: Path) -> None:
    path = min(DEPLOY.glob(check.files))
    text = path.read_text()
    assert check.breaks[0] in text
    assert problems(check, tmp_path / path.name, text.replace(*check.breaks, 1)) != ""


def test_every_file_is_checked_by_something() -> None:
    checked = {path for check in CHECKS.values() for path in DEPLOY.glob(check.files)}
    elsewhere = {
        *(DEPLOY / "systemd" / "env").glob("*.env"),  # by starting the services
        DEPLOY / "compose" / "roles.sql",  # by PostgreSQL
        DEPLOY / "README.md",
        DEPLOY / "compose" / ".gitignore",
    }
    made_by_scripts = [DEPLOY / "compose" / "secrets", DEPLOY / "compose" / "models"]
    there = {
        path
        for path in DEPLOY.rglob("*")
        if path.is_file() and not any(path.is_relative_to(folder) for folder in made_by_scripts)
    }
    assert there - checked - elsewhere == set()


@pytest.mark.parametrize("service", SECURITY)
def test_a_unit_is_closed_to_what_its_service_does_not_need(service: str, tmp_path: Path) -> None:
    unit = f"moorage-{service}.service"
    (tmp_path / unit).write_text((DEPLOY / "systemd" / unit).read_text())
    flags = ["--offline=true", f"--threshold={SECURITY[service]}"]
    rated = run([systemd("systemd-analyze"), "security", *flags, str(tmp_path / unit)])
    assert rated.returncode == 0, rated.stdout


def problems(check: Check, copy: Path, text: str) -> str:
    """What the tool has against a text; empty if nothing."""
    # The units name programs where they are installed on nodes; here they are beside Python.
    copy.write_text(text.replace("/opt/moorage/bin/", f"{BIN}/"))
    done = run(check.command(copy))
    if done.returncode:
        return f"{done.stdout}{done.stderr}" or f"exit code {done.returncode}"
    # systemd only warns of names that it does not know.
    return done.stderr if "ignoring" in done.stderr else ""


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)


def systemd(program: str) -> str:
    found = shutil.which(program)
    if found is None and os.environ.get("CI") == "true":
        pytest.fail(f"{program} is not installed: apt-get install systemd")
    if found is None:
        pytest.skip(f"{program} is not on this machine: it is part of systemd")
    return found
