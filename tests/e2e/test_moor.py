"""The command line, from deploying a model to deleting it."""

import json
from pathlib import Path

import pytest
from mesh_under_test import MeshUnderTest

from moorage_cli.quickstart.tiny_model import SENTENCE, TinyModel

pytestmark = pytest.mark.e2e


def test_the_life_of_a_model(mesh: MeshUnderTest, tiny_file: Path) -> None:
    deployed = mesh.moor("deploy", f"file:{tiny_file}", "--name", "life", "-o", "json")
    for told in ("inspected", "created", "resolved", "fetched", "placed", "running"):
        assert told in deployed.stderr
    state = json.loads(deployed.stdout)
    assert state["model"]["name"] == "models/life"
    (instance,) = state["instances"]
    assert instance["state"] == "INSTANCE_STATE_RUNNING"

    (line,) = [line for line in mesh.moor("ps").stdout.splitlines() if line.startswith("life/")]
    assert "RUNNING" in line
    assert instance["endpoint"] in line
    listed = json.loads(mesh.moor("ps", "-o", "json").stdout)
    assert instance["name"] in [each["name"] for each in listed["instances"]]

    assert mesh.moor("chat", "life", "Who are you?", "--temperature", "0").stdout.strip() == SENTENCE
    assert mesh.moor("logs", "life").stdout.strip()
    assert len(mesh.moor("logs", "life", "--tail", "2").stdout.splitlines()) == 2
    explained = mesh.moor("explain", "life").stdout
    assert "PLACED" in explained
    assert "weights" in explained

    mesh.moor("stop", "life")
    assert "does not run" in mesh.moor("chat", "life", "Who are you?", code=1).stderr
    mesh.moor("start", "life")
    assert mesh.moor("chat", "life", "Who are you?").stdout.strip() == SENTENCE
    assert mesh.instance("life")["name"] == instance["name"]

    again = mesh.moor("deploy", f"file:{tiny_file}", "--name", "life", code=1)
    assert "reason: RESOURCE_EXISTS" in again.stderr
    mesh.moor("delete", "life")
    assert "reason: RESOURCE_NOT_FOUND" in mesh.moor("stop", "life", code=1).stderr


def test_replicas(mesh: MeshUnderTest, tiny_file: Path) -> None:
    deployed = mesh.moor("deploy", f"file:{tiny_file}", "--name", "twins", "--replicas", "2", "-o", "json")
    states = [instance["state"] for instance in json.loads(deployed.stdout)["instances"]]
    assert states == ["INSTANCE_STATE_RUNNING"] * 2
    assert "Name one" in mesh.moor("logs", "twins", code=1).stderr
    mesh.moor("delete", "twins")


def test_pull_brings_the_bytes_and_a_deployment_finds_them(mesh: MeshUnderTest) -> None:
    source = mesh.publish("pulled", TinyModel(name="pulled", seed=31))
    pulled = mesh.moor("pull", source, "-o", "json")
    assert "verified" in pulled.stderr
    assert json.loads(pulled.stdout)["download"]["state"] == "DOWNLOAD_STATE_COMPLETE"
    deployed = mesh.moor("deploy", source, "--name", "pulled")
    assert "fetching" not in deployed.stderr
    mesh.moor("delete", "pulled")


def test_workers_show_the_one_that_is_there(mesh: MeshUnderTest) -> None:
    (line,) = mesh.moor("workers").stdout.splitlines()[1:]
    assert "READY" in line
    assert "LLAMA_CPP" in line
    assert mesh.address("agent") in line
