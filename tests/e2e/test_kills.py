"""kill -9 of any process in the middle of a deployment: it ends running, with a right answer."""

from pathlib import Path

import psutil
import pytest
from mesh_under_test import PROCESSES, MeshUnderTest

from moorage_cli.quickstart.tiny_model import SENTENCE, TinyModel

pytestmark = pytest.mark.e2e

ARTIFACTS = "moorage.registry.v1.ArtifactService/ListArtifacts"


def pulled_bytes(mesh: MeshUnderTest, source: str) -> int:
    """How much of a source has come from the hub so far."""
    repository = source.split("/model.gguf", maxsplit=1)[0]
    for artifact in mesh.call("registry", ARTIFACTS).get("artifacts", []):
        if artifact["source"].startswith(repository):
            return int(artifact.get("pull", {}).get("doneBytes", 0))
    return 0


@pytest.mark.parametrize("victim", PROCESSES)
def test_a_deployment_outlives_the_death_of(mesh: MeshUnderTest, victim: str) -> None:
    model = f"killed-{victim}"
    # Weights of its own: nothing of it is cached.
    source = mesh.publish(model, TinyModel(name=model, seed=len(victim) * 1000 + ord(victim[0])))
    mesh.moor("deploy", source, "--name", model, "--no-wait")
    mesh.eventually(lambda: pulled_bytes(mesh, source) > 0)
    assert mesh.instance(model)["state"] == "INSTANCE_STATE_FETCHING"
    dead = mesh.kill(victim)
    mesh.eventually(lambda: mesh.buf("registry", ARTIFACTS, body={}).returncode == 0)
    mesh.eventually(lambda: mesh.is_running(model))
    assert mesh.moor("chat", model, "Who are you?").stdout.strip() == SENTENCE
    mesh.eventually(lambda: mesh.pid(victim) != dead)
    assert psutil.pid_exists(mesh.pid(victim))
    mesh.moor("delete", model)


def test_engines_outlive_their_agent_and_are_adopted(mesh: MeshUnderTest, tiny_file: Path) -> None:
    mesh.moor("deploy", f"file:{tiny_file}", "--name", "adopted")
    before = mesh.call("agent", "moorage.agent.v1.AgentService/ListEngines")["engines"]
    dead = mesh.kill("agent")
    mesh.eventually(lambda: mesh.pid("agent") != dead)
    mesh.eventually(lambda: mesh.buf("agent", "--list-services").returncode == 0)
    mesh.eventually(lambda: mesh.is_running("adopted"))
    after = mesh.call("agent", "moorage.agent.v1.AgentService/ListEngines")["engines"]
    assert [(each["instance"], each["pid"]) for each in after] == [
        (each["instance"], each["pid"]) for each in before
    ]
    assert mesh.moor("chat", "adopted", "Who are you?").stdout.strip() == SENTENCE
    mesh.moor("delete", "adopted")


def test_an_engine_that_dies_is_started_again(mesh: MeshUnderTest, tiny_file: Path) -> None:
    mesh.moor("deploy", f"file:{tiny_file}", "--name", "revived")
    (engine,) = [
        each
        for each in mesh.call("agent", "moorage.agent.v1.AgentService/ListEngines")["engines"]
        if each["instance"].startswith("models/revived/")
    ]
    psutil.Process(engine["pid"]).kill()
    mesh.eventually(lambda: mesh.instance("revived").get("restartCount", 0) == 1)
    mesh.eventually(lambda: mesh.is_running("revived"))
    assert mesh.moor("chat", "revived", "Who are you?").stdout.strip() == SENTENCE
    mesh.moor("delete", "revived")
