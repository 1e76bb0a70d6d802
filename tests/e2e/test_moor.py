"""The command line, from deploying a model to deleting it."""

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml
from mesh_under_test import BIN, MeshUnderTest

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


def test_a_dry_run_tells_where_it_would_go_and_creates_nothing(mesh: MeshUnderTest, tiny_file: Path) -> None:
    source = f"file:{tiny_file}"
    told = mesh.moor("deploy", source, "--name", "dry", "--dry-run", "-o", "json")
    answer = json.loads(told.stdout)
    worker = answer["placement"]["worker"]
    assert answer["explanation"]["verdict"] == "VERDICT_PLACED"
    nowhere = mesh.moor("deploy", source, "--name", "dry", "--dry-run", "--worker", "nobody", code=3)
    assert "NEVER FITS" in nowhere.stdout
    assert "nobody" in nowhere.stdout
    card = f"{worker.removeprefix('workers/')}/cuda:7"
    by_hand = mesh.moor("deploy", source, "--dry-run", "--gpu", card, "-o", "json", code=3)
    [refused] = json.loads(by_hand.stdout)["explanation"]["workers"]
    assert refused["rejections"][0]["reason"] == "PLACEMENT_REASON_GPU_UNKNOWN"
    vllm = mesh.moor("deploy", source, "--dry-run", "--engine", "vllm", code=3)
    assert "safetensors" in vllm.stdout
    assert "reason: RESOURCE_NOT_FOUND" in mesh.moor("stop", "dry", code=1).stderr


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


def test_models_instances_and_artifacts_in_every_format(mesh: MeshUnderTest, tiny_file: Path) -> None:
    mesh.moor("deploy", f"file:{tiny_file}", "--name", "formats")
    for command, resource in (("models", "models/formats"), ("instances", "models/formats/instances/")):
        assert any(line.startswith(resource) for line in mesh.moor(command, "-o", "name").stdout.splitlines())
        as_json = json.loads(mesh.moor(command, "-o", "json").stdout)
        assert any(each["name"].startswith(resource) for each in as_json[command])
        assert yaml.safe_load(mesh.moor(command, "-o", "yaml").stdout) == as_json
    (line,) = [line for line in mesh.moor("models").stdout.splitlines() if line.startswith("formats ")]
    assert line.split()[1:4] == ["RUNNING", "1/1", "auto"]
    (line,) = mesh.moor("instances", "formats").stdout.splitlines()[1:]
    assert "RUNNING" in line
    worker = mesh.moor("workers", "-o", "name").stdout.strip().removeprefix("workers/")
    mesh.eventually(lambda: f" {worker} " in mesh.moor("artifacts").stdout)
    assert "formats/" in mesh.moor("top", "--once").stdout
    mesh.moor("delete", "formats")
    assert "there is no models/formats" in mesh.moor("instances", "formats", code=1).stderr


def test_scaling_up_and_down_and_to_nothing(mesh: MeshUnderTest, tiny_file: Path) -> None:
    mesh.moor("deploy", f"file:{tiny_file}", "--name", "scaled")
    for replicas in (2, 1, 0):
        said = json.loads(mesh.moor("scale", "scaled", str(replicas), "-o", "json").stdout)
        assert [each["state"] for each in said["instances"]] == ["INSTANCE_STATE_RUNNING"] * replicas
    assert "NO REPLICAS" in mesh.moor("models").stdout
    mesh.moor("delete", "scaled")


def test_a_cordoned_worker_takes_nothing_and_waiting_for_it_has_an_end(
    mesh: MeshUnderTest, tiny_file: Path
) -> None:
    worker = mesh.moor("workers", "-o", "name").stdout.strip()
    assert json.loads(mesh.moor("cordon", worker, "-o", "json").stdout)["worker"]["cordoned"]
    try:
        assert "READY, cordoned" in mesh.moor("workers").stdout
        late = mesh.moor("deploy", f"file:{tiny_file}", "--name", "late", "--timeout", "2", code=3)
        assert "does not run after 2 s" in late.stderr
        explained = mesh.moor("explain", "late").stdout
        assert "NOT NOW" in explained
        assert "worker cordoned" in explained
    finally:
        mesh.moor("uncordon", worker)
    mesh.moor("start", "late")
    mesh.moor("delete", "late")


def test_watch_prints_changes_until_interrupted(mesh: MeshUnderTest, tiny_file: Path) -> None:
    watch = subprocess.Popen(
        [BIN / "moor", "watch", "--kind", "model", "--kind", "instance"],
        env=mesh.environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert watch.stdout is not None
    wanted = ["created", "STARTING → RUNNING", "RUNNING → STOPPING", "deleted"]
    # What it prints begins with what changes after it has begun.
    time.sleep(3)
    mesh.moor("deploy", f"file:{tiny_file}", "--name", "watched")
    mesh.moor("delete", "watched")
    for line in watch.stdout:
        if "models/watched" in line and wanted[0] in line:
            wanted.pop(0)
        if not wanted:
            break
    watch.send_signal(signal.SIGINT)
    assert watch.wait(20) == 130
    watch.stdout.close()


def test_a_mesh_has_a_name_once_it_was_given_one(mesh: MeshUnderTest) -> None:
    registry = mesh.address("registry")
    mesh.moor("context", "set", "named", "--registry", registry)
    assert mesh.moor("context", "list", "-o", "name").stdout == "named\n"
    # The environment names a data directory, which goes before the current context.
    assert "mesh.json" in mesh.moor("context", "show").stdout
    shown = mesh.moor("context", "show", "--context", "named").stdout
    assert f"{registry}  context named, by --context" in shown
    assert "models" in json.loads(mesh.moor("ps", "--context", "named", "-o", "json").stdout)
    lacking = mesh.moor("explain", "x/y", "--context", "named", code=4).stderr
    assert "moor context set named --scheduler HOST:PORT" in lacking
    mesh.moor("context", "delete", "named")
    assert "there is no context 'named'" in mesh.moor("ps", "--context", "named", code=1).stderr


def test_a_shell_completes_names(mesh: MeshUnderTest, tiny_file: Path) -> None:
    mesh.moor("deploy", f"file:{tiny_file}", "--name", "completed")

    def complete(*words: str) -> list[str]:
        line = {"COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1)}
        environment = {**mesh.environment, **line, "_MOOR_COMPLETE": "complete_bash"}
        program = [BIN / "moor"]
        return subprocess.run(
            program, env=environment, capture_output=True, text=True, check=True
        ).stdout.split()

    assert complete("moor", "stop", "compl") == ["completed"]
    (instance,) = complete("moor", "logs", "completed/")
    assert (
        f"models/completed/instances/{instance.removeprefix('completed/')}"
        == mesh.instance("completed")["name"]
    )
    assert complete("moor", "delete", "workers/") == [mesh.moor("workers", "-o", "name").stdout.strip()]
    mesh.moor("delete", "completed")


def test_workers_show_the_one_that_is_there(mesh: MeshUnderTest) -> None:
    (line,) = mesh.moor("workers").stdout.splitlines()[1:]
    assert "READY" in line
    assert "LLAMA_CPP" in line
    assert mesh.address("agent") in line
