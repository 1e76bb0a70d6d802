"""Bad input gets a clear error, and costs nothing."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from mesh_under_test import MeshUnderTest

from moorage_cli.quickstart.tiny_model import TinyModel, write_tiny_model

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("source", ["hf:test/nothing/model.gguf", "hf:test/nothing", "file:/not/there.gguf"])
def test_an_unknown_source_is_not_found_and_creates_nothing(mesh: MeshUnderTest, source: str) -> None:
    refused = mesh.moor("deploy", source, "--name", "unknown", code=1)
    assert source.split(":")[1].split("/model.gguf", maxsplit=1)[0] in refused.stderr
    assert "reason: SOURCE_NOT_FOUND" in refused.stderr
    assert "reason: RESOURCE_NOT_FOUND" in mesh.moor("start", "unknown", code=1).stderr


@pytest.mark.parametrize(
    "words",
    [(command, "nobody") for command in ("start", "stop", "delete", "explain", "logs", "chat")]
    + [(command, "nobody/a1b2c3d4") for command in ("explain", "logs", "chat")],
    ids=" ".join,
)
def test_a_name_that_is_not_there_is_said_to_be_unknown(mesh: MeshUnderTest, words: tuple[str, str]) -> None:
    refused = mesh.moor(*words, code=1).stderr
    assert "there is no models/nobody" in refused
    assert "reason: RESOURCE_NOT_FOUND" in refused
    assert "remedy: 'moor ps'" in refused


def test_a_source_that_is_none_is_refused(mesh: MeshUnderTest) -> None:
    assert "reason: SOURCE_INVALID" in mesh.moor("deploy", "gopher:x/y", "--name", "odd", code=1).stderr


def test_a_file_that_is_no_model_is_refused_at_inspection(mesh: MeshUnderTest, open_root: Path) -> None:
    path = open_root / "letter.gguf"
    path.write_text("Dear model,\n" * 100)
    refused = mesh.moor("deploy", f"file:{path}", "--name", "letter", code=1)
    assert "reason: MODEL_FILE_INVALID" in refused.stderr


def test_a_truncated_model_is_refused_at_inspection(
    mesh: MeshUnderTest, open_root: Path, tiny_file: Path
) -> None:
    path = open_root / "truncated.gguf"
    path.write_bytes(tiny_file.read_bytes()[:-1000])
    refused = mesh.moor("deploy", f"file:{path}", "--name", "truncated", code=1)
    assert "reason: MODEL_FILE_INVALID" in refused.stderr


def test_without_inspection_the_model_itself_says_what_is_wrong(mesh: MeshUnderTest, open_root: Path) -> None:
    path = open_root / "note.gguf"
    path.write_text("not a model")
    mesh.call(
        "registry",
        "moorage.registry.v1.ModelService/CreateModel",
        {"modelId": "note", "model": {"source": f"file:{path}"}},
    )
    assert "reason: MODEL_FILE_INVALID" in mesh.moor("start", "note", code=1).stderr
    assert "GGUF" in mesh.moor("ps").stdout
    mesh.moor("delete", "note")


def test_a_model_too_large_for_every_worker_waits_and_says_why(mesh: MeshUnderTest, open_root: Path) -> None:
    path = open_root / "wide.gguf"
    # Small on disk; its context alone needs more than any worker has: 2 * 64 layers * 512 * 2 bytes a token.
    write_tiny_model(path, TinyModel(layers=64, hidden=512, heads=8, kv_heads=8, context=1 << 24))
    source = f"file:{path}"
    waiting = mesh.moor("deploy", source, "--name", "wide", "--context-length", str(1 << 24), code=3)
    assert "models/wide stays" in waiting.stderr
    instance = mesh.instance("wide")
    assert instance["state"] == "INSTANCE_STATE_PENDING"
    assert instance["explanation"]["verdict"] == "VERDICT_NEVER_FITS"
    (rejection,) = instance["explanation"]["workers"][0]["rejections"]
    assert rejection["reason"] == "PLACEMENT_REASON_INSUFFICIENT_RAM"
    assert int(rejection["needed"]) > int(rejection["available"]) > 0
    assert rejection["unit"] == "bytes"
    assert rejection["remedy"]
    explained = mesh.moor("explain", "wide").stdout
    assert "NEVER FITS" in explained
    assert "1 worker considered" in explained
    assert "insufficient RAM" in explained
    mesh.moor("delete", "wide")


def test_a_second_agent_under_the_same_name_is_refused(mesh: MeshUnderTest, open_root: Path) -> None:
    worker = mesh.call("registry", "moorage.registry.v1.WorkerService/ListWorkers")["workers"][0]
    impostor = subprocess.run(
        [sys.executable, "-m", "moorage_agent"],
        env={
            **os.environ,
            "MOORAGE_AGENT_REGISTRY_ADDRESS": mesh.address("registry"),
            "MOORAGE_AGENT_WORKER_NAME": worker["name"].removeprefix("workers/"),
            "MOORAGE_AGENT_DATA_DIR": str(open_root / "impostor"),
            "MOORAGE_AGENT_LISTEN": "127.0.0.1:0",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert impostor.returncode == 1
    assert "another node" in impostor.stderr
    after = mesh.call("registry", "moorage.registry.v1.WorkerService/ListWorkers")["workers"]
    assert [each["facts"]["nodeId"] for each in after] == [worker["facts"]["nodeId"]]
    shutil.rmtree(open_root / "impostor")


def test_a_second_mesh_in_the_same_directory_is_refused(mesh: MeshUnderTest) -> None:
    refused = mesh.moor("up", code=1)
    assert "a mesh is up already" in refused.stderr
    assert "remedy:" in refused.stderr


def test_a_mesh_that_is_not_there_is_said(mesh: MeshUnderTest, tmp_path: Path) -> None:
    refused = mesh.moor("ps", "--data-dir", str(tmp_path), code=4)
    assert "moor up" in refused.stderr
    away = mesh.moor("ps", "--registry", "127.0.0.1:9", code=4)
    assert "127.0.0.1:9 is from --registry." in away.stderr


@pytest.mark.parametrize(
    "words", [["ps", "--limit", "0"], ["scale", "life", "many"], ["nonsense"], ["ps", "-o", "xml"]]
)
def test_wrong_usage_has_an_exit_code_of_its_own(mesh: MeshUnderTest, words: list[str]) -> None:
    assert "Usage: moor" in mesh.moor(*words, code=2).stderr


def test_a_label_selector_that_is_none_is_refused(mesh: MeshUnderTest) -> None:
    assert "selects by no label" in mesh.moor("models", "-l", "zone", code=1).stderr
