"""The mesh as a client sees it who has an address, reflection, and no source: by `buf curl`."""

import base64
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from google.rpc import error_details_pb2
from mesh_under_test import MeshUnderTest

pytestmark = pytest.mark.e2e

MODELS = "moorage.registry.v1.ModelService"
INSTANCES = "moorage.registry.v1.InstanceService"


def details(refusal: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The code of an error that `buf curl` prints, and its details by type."""
    assert refusal.returncode != 0, refusal.stdout
    error = json.loads(refusal.stderr[refusal.stderr.index("{") :])
    found: dict[str, Any] = {"code": error["code"]}
    for each in error["details"]:
        packed = each["value"] + "=" * (-len(each["value"]) % 4)
        message = getattr(error_details_pb2, each["type"].removeprefix("google.rpc."))()
        message.ParseFromString(base64.b64decode(packed))
        found[each["type"]] = MessageToDict(message)
    return found


@pytest.mark.parametrize(
    ("server", "services"),
    [
        (
            "registry",
            {
                "moorage.registry.v1.WorkerService",
                MODELS,
                INSTANCES,
                "moorage.registry.v1.ArtifactService",
                "moorage.registry.v1.WatchService",
            },
        ),
        ("scheduler", {"moorage.scheduler.v1.SchedulerService"}),
        ("downloader", {"moorage.downloader.v1.DownloadService", "moorage.downloader.v1.BlobService"}),
        ("agent", {"moorage.agent.v1.AgentService"}),
    ],
)
def test_every_server_lists_its_services_and_its_health(
    mesh: MeshUnderTest, server: str, services: set[str]
) -> None:
    listed = set(mesh.buf(server, "--list-services").stdout.split())
    assert services | {"grpc.health.v1.Health"} <= listed
    for service in ("", *services):
        answer = mesh.call(server, "grpc.health.v1.Health/Check", {"service": service})
        assert answer == {"status": "SERVING"}


def test_a_model_from_creation_to_its_end(mesh: MeshUnderTest, tiny_file: Path) -> None:
    watch = subprocess.Popen(
        mesh.buf_command(
            "registry",
            "moorage.registry.v1.WatchService/Watch",
            body={"initialState": True, "kinds": ["RESOURCE_KIND_INSTANCE"]},
        ),
        stdout=subprocess.PIPE,
        text=True,
    )
    stream = events(watch)
    # What is now has been sent: from here on the watch tells every change, also one that passes at once.
    next(event for event in stream if event["operation"] == "WATCH_OPERATION_BOOKMARK")
    created = mesh.call(
        "registry",
        f"{MODELS}/CreateModel",
        {"modelId": "stranger", "model": {"source": f"file:{tiny_file}"}, "requestId": "once"},
    )
    again = mesh.call(
        "registry",
        f"{MODELS}/CreateModel",
        {"modelId": "stranger", "model": {"source": f"file:{tiny_file}"}, "requestId": "once"},
    )
    assert again["model"]["uid"] == created["model"]["uid"]

    seen = []
    for event in stream:
        instance = event.get("instance", {})
        if instance.get("name", "").startswith("models/stranger/"):
            seen.append((event["operation"], instance["state"]))
            if instance["state"] == "INSTANCE_STATE_RUNNING":
                break
    watch.terminate()
    watch.communicate()
    assert seen[0] == ("WATCH_OPERATION_CREATED", "INSTANCE_STATE_PENDING")
    assert ("WATCH_OPERATION_UPDATED", "INSTANCE_STATE_STARTING") in seen

    instance = mesh.instance("stranger")
    answer = mesh.call(
        "scheduler", "moorage.scheduler.v1.SchedulerService/ExplainInstance", {"name": instance["name"]}
    )
    assert answer["explanation"]["verdict"] == "VERDICT_PLACED"
    assert answer["placement"]["worker"] == instance["worker"]
    assert sum(int(claim["sizeBytes"]) for claim in answer["placement"]["claims"]) > 0

    mesh.call("registry", f"{MODELS}/DeleteModel", {"name": "models/stranger"})
    ask = {"name": "models/stranger"}
    mesh.eventually(lambda: mesh.buf("registry", f"{MODELS}/GetModel", body=ask).returncode != 0)


def events(watch: subprocess.Popen[str]) -> Any:
    """Yields the JSON documents that `buf curl` prints, one after the other."""
    assert watch.stdout is not None
    decoder, text = json.JSONDecoder(), ""
    for line in watch.stdout:
        text += line
        try:
            event, end = decoder.raw_decode(text.lstrip())
        except ValueError:
            continue
        text = text.lstrip()[end:]
        yield event


def test_every_violation_is_said_at_once(mesh: MeshUnderTest) -> None:
    refusal = mesh.buf(
        "registry",
        f"{MODELS}/CreateModel",
        body={
            "modelId": "Not An Id",
            "model": {"source": "", "replicas": -1, "engine": 99, "llamaCpp": {"contextLength": -5}},
        },
    )
    said = details(refusal)
    violations = said["google.rpc.BadRequest"]["fieldViolations"]
    told = " ".join(f"{each['field']}: {each['description']};" for each in violations)
    for field in (
        "model_id",
        "model: source is required",
        "model.replicas",
        "model.engine",
        "model.llama_cpp.context_length",
    ):
        assert field in told
    assert said["google.rpc.ErrorInfo"]["reason"] == "INVALID_REQUEST"
    assert said["google.rpc.ErrorInfo"]["domain"] == "moorage"


def test_a_model_that_is_not_there(mesh: MeshUnderTest) -> None:
    said = details(mesh.buf("registry", f"{MODELS}/GetModel", body={"name": "models/nothing"}))
    assert said["code"] == "not_found"
    assert said["google.rpc.ErrorInfo"]["reason"] == "RESOURCE_NOT_FOUND"
    assert said["google.rpc.ResourceInfo"]["resourceName"] == "models/nothing"


def test_a_stale_etag_changes_nothing(mesh: MeshUnderTest, tiny_file: Path) -> None:
    stopped = {"source": f"file:{tiny_file}", "desiredState": "DESIRED_STATE_STOPPED"}
    mesh.call("registry", f"{MODELS}/CreateModel", {"modelId": "etagged", "model": stopped})

    def read() -> dict[str, Any]:
        model: dict[str, Any] = mesh.call("registry", f"{MODELS}/GetModel", {"name": "models/etagged"})[
            "model"
        ]
        return model

    mesh.eventually(lambda: read()["resolution"]["state"] == "RESOLUTION_STATE_RESOLVED")
    first = read()

    def change(replicas: int) -> dict[str, Any]:
        model = {"name": first["name"], "etag": first["etag"], "replicas": replicas}
        return {"model": model, "updateMask": "replicas"}

    assert mesh.call("registry", f"{MODELS}/UpdateModel", change(2))["model"]["replicas"] == 2
    said = details(mesh.buf("registry", f"{MODELS}/UpdateModel", body=change(3)))
    assert said["code"] == "aborted"
    assert said["google.rpc.ErrorInfo"]["reason"] == "ETAG_MISMATCH"
    assert read()["replicas"] == 2
