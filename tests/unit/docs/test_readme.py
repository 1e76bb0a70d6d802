"""What the README tells people to type exists."""

import re
from pathlib import Path

import pytest
import typer.main

from moorage_cli.main import app

ROOT = Path(__file__).parents[3]
README = (ROOT / "README.md").read_text()


def test_every_command_of_moor_exists() -> None:
    declared = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    told = set(re.findall(r"(?m)^moor (\w+)", README)) | set(re.findall(r"`moor (\w+)", README))
    assert told
    assert told <= declared


def test_every_method_of_the_walk_through_is_in_the_protos() -> None:
    told = re.findall(r"moorage\.(\w+)\.v1\.(\w+)/(\w+)", README)
    assert told
    for package, service, method in told:
        declared = "".join(
            path.read_text() for path in (ROOT / f"protos/moorage/{package}/v1").glob("*.proto")
        )
        assert re.search(rf"service {service} {{.*?rpc {method}\(", declared, re.DOTALL), method


@pytest.mark.parametrize("target", re.findall(r"\]\((?!http)([^)#]+)\)", README))
def test_every_link_leads_somewhere(target: str) -> None:
    assert (ROOT / target).exists()
