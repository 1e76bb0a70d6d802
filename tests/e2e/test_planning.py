"""`moor simulate` and `moor predict` on a mesh that runs."""

import json
import re
import shlex
from pathlib import Path

import pytest
from mesh_under_test import MeshUnderTest

from moorage_cli.quickstart.tiny_model import TinyModel

pytestmark = pytest.mark.e2e

DOCS = Path(__file__).parents[2] / "docs"
COMMANDS = re.findall(r"(?m)^moor (simulate --live-plus .*)$", (DOCS / "capacity-planning.md").read_text())
EXAMPLES = DOCS / "examples"


@pytest.fixture(scope="module")
def tiny(mesh: MeshUnderTest) -> str:
    """A model of the mesh, and its source."""
    source = mesh.publish("planned", TinyModel())
    mesh.moor("deploy", source, "--name", "planned")
    return source


def words_of(command: str) -> list[str]:
    words = [str(EXAMPLES / word) if word.endswith(".yaml") else word for word in shlex.split(command)]
    return ["planned" if word == "llama" else word for word in words]


@pytest.mark.parametrize("command", COMMANDS)
def test_the_page_on_capacity_planning_speaks_of_the_live_fleet_truly(
    mesh: MeshUnderTest, tiny: str, command: str
) -> None:
    answered = mesh.moor(*words_of(command), "-o", "json", code=None)
    assert answered.returncode in (0, 3), answered.stderr
    (placement,) = json.loads(answered.stdout)["placements"]
    assert placement["explanation"]["workers_considered"] == 2


def test_a_source_is_looked_at_and_nothing_of_it_is_fetched(
    mesh: MeshUnderTest, tiny: str, tmp_path: Path
) -> None:
    source = mesh.publish("only-planned", TinyModel(seed=8))
    path = tmp_path / "model.yaml"
    path.write_text(f"workers: [{{name: paper, ram: 4GiB}}]\nmodels: [{{source: '{source}', replicas: 2}}]\n")
    answered = mesh.moor("simulate", str(path))
    assert answered.stdout.startswith("2 of 2 replicas placed, on 1 worker\n")
    assert "only-planned#1  paper    CPU" in answered.stdout
    service = "moorage.registry.v1.ArtifactService"
    artifacts = mesh.call("registry", f"{service}/ListArtifacts")["artifacts"]
    (known,) = [each["name"] for each in artifacts if "only-planned" in each["source"]]
    copies = mesh.call("registry", f"{service}/ListArtifactCopies", {"parent": "artifacts/-"})["copies"]
    assert known not in {copy["artifact"] for copy in copies}


def test_a_source_that_is_not_there_fails_alone(mesh: MeshUnderTest, tiny: str, tmp_path: Path) -> None:
    path = tmp_path / "model.yaml"
    path.write_text(
        "workers: [{name: paper, ram: 4GiB}]\n"
        f"models: [{{name: gone, source: 'hf:test/gone/x.gguf'}}, {{source: '{tiny}'}}]\n"
    )
    answered = mesh.moor("simulate", str(path), code=1)
    assert "1 of 2 replicas placed" in answered.stdout
    assert re.search(r"(?m)^gone#0\n  FAILED: ", answered.stdout)


def test_a_mistake_ends_with_a_code_of_its_own(mesh: MeshUnderTest, tmp_path: Path) -> None:
    path = tmp_path / "model.yaml"
    path.write_text(
        "name: m\nsizes: {weights: 1 GB}\nworkers: []\n---\nworkers: [{name: a, ram: 4GiB, gpus: GTX}]\n"
    )
    answered = mesh.moor("simulate", str(path), code=2)
    assert f"{path}:1:1: name: is unknown" in answered.stderr
    path.write_text("name: m\nsizes: {weights: 1 GB}\n---\nworkers: [{name: a, ram: 4GiB, gpus: GTX 1}]\n")
    answered = mesh.moor("simulate", str(path), code=2)
    assert (
        f"{path}:4:38: workers[0].gpus: nothing is known of 'GTX 1': say how it is driven" in answered.stderr
    )


def test_what_runs_has_a_speed_that_is_predicted(mesh: MeshUnderTest, tiny: str) -> None:
    answered = mesh.moor("predict", "planned")
    assert re.search(r"(?m)^  answers  [\d.e+]+ tokens/s, one request alone", answered.stdout)
    found = json.loads(mesh.moor("predict", "planned", "-o", "json").stdout)["predictions"]
    assert found[0]["prediction"]["placement"]["predicted"]["stages"]
