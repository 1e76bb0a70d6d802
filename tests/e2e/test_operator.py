"""What an engineer does at night: filters, endpoints, restarts, drains, audit; all by the command line."""

import json
import subprocess
from pathlib import Path

import pytest
from mesh_under_test import BIN, MeshUnderTest

pytestmark = pytest.mark.e2e


def worker_of(mesh: MeshUnderTest) -> str:
    return mesh.moor("workers", "-o", "name").stdout.strip()


def test_lists_take_filters_orders_and_limits(mesh: MeshUnderTest, tiny_file: Path) -> None:
    for name, replicas in (("filtered-a", "1"), ("filtered-b", "2")):
        mesh.moor("deploy", f"file:{tiny_file}", "--name", name, "--replicas", replicas)
    named = mesh.moor(
        "models", "--filter", "replicas > 1", "--order-by", "create_time desc", "-o", "name"
    ).stdout
    assert "models/filtered-b" in named.split()
    assert "models/filtered-a" not in named.split()
    newest = mesh.moor("models", "--order-by", "create_time desc", "--limit", "1", "-o", "name").stdout
    assert newest == "models/filtered-b\n"
    running = mesh.moor("instances", "filtered-b", "--filter", "state = RUNNING", "-o", "name").stdout.split()
    assert len(running) == 2
    refused = mesh.moor("models", "--filter", "nonsense = = 3", code=1).stderr
    assert "reason: FILTER_INVALID" in refused
    assert "reason: ORDER_BY_INVALID" in mesh.moor("models", "--order-by", "nonsense", code=1).stderr
    for name in ("filtered-a", "filtered-b"):
        mesh.moor("delete", name)


def test_labels_select(mesh: MeshUnderTest, tiny_file: Path) -> None:
    stopped = {"source": f"file:{tiny_file}", "desiredState": "DESIRED_STATE_STOPPED"}
    for team in ("search", "ads"):
        model = {**stopped, "labels": {"team": team, "k8s.io/zone": team}}
        body = {"modelId": f"labelled-{team}", "model": model}
        mesh.call("registry", "moorage.registry.v1.ModelService/CreateModel", body)
    for selector in ("team=search", "k8s.io/zone=search"):
        assert mesh.moor("models", "-l", selector, "-o", "name").stdout == "models/labelled-search\n"
    for team in ("search", "ads"):
        mesh.moor("delete", f"labelled-{team}")


def test_endpoints_are_those_that_answer(mesh: MeshUnderTest, tiny_file: Path) -> None:
    mesh.moor("deploy", f"file:{tiny_file}", "--name", "answering")
    (endpoint,) = json.loads(mesh.moor("endpoints", "answering", "-o", "json").stdout)["endpoints"]
    assert endpoint["url"] == mesh.instance("answering")["endpoint"]
    assert endpoint["url"] in mesh.moor("endpoints").stdout
    mesh.moor("stop", "answering")
    assert "Nothing answers" in mesh.moor("endpoints", "answering").stderr
    mesh.moor("delete", "answering")


def test_a_restart_starts_the_engine_again(mesh: MeshUnderTest, tiny_file: Path) -> None:
    mesh.moor("deploy", f"file:{tiny_file}", "--name", "restarted")
    before = mesh.instance("restarted")
    restarted = mesh.moor("restart", "restarted", "--timeout", "60")
    assert before["name"] in restarted.stderr
    mesh.eventually(lambda: mesh.is_running("restarted"))
    after = mesh.instance("restarted")
    assert after["name"] == before["name"]
    assert int(after["generation"]) > int(before["generation"])
    mesh.moor("stop", "restarted")
    assert "reason: TRANSITION_NOT_ALLOWED" in mesh.moor("restart", "restarted", code=1).stderr
    mesh.moor("delete", "restarted")


def test_a_drain_of_the_only_worker_says_why_it_stays_and_can_be_called_off(
    mesh: MeshUnderTest, tiny_file: Path
) -> None:
    mesh.moor("deploy", f"file:{tiny_file}", "--name", "anchored")
    worker, anchored = worker_of(mesh), mesh.instance("anchored")["name"]
    try:
        stuck = mesh.moor("drain", worker, "--timeout", "5", "-o", "json", code=3)
        assert "blocked" in stuck.stderr
        assert f"Call it off: moor uncordon {worker.removeprefix('workers/')}." in stuck.stderr
        left = json.loads(stuck.stdout)["instances"]
        assert anchored in [each["instance"] for each in left]
        assert "READY, draining" in mesh.moor("workers").stdout
        held = mesh.moor("delete", worker, code=1).stderr
        assert "reason: WORKER_IN_USE" in held
        assert anchored in held
        looking_on = subprocess.Popen(
            [BIN / "moor", "drain", worker], env=mesh.environment, stderr=subprocess.PIPE, text=True
        )
        assert looking_on.stderr is not None
        assert "cordoned" in looking_on.stderr.readline()
    finally:
        mesh.moor("uncordon", worker)
    assert looking_on.wait(20) == 1
    assert "DRAIN_CANCELLED" in looking_on.stderr.read()
    looking_on.stderr.close()
    assert mesh.is_running("anchored")
    mesh.moor("delete", "anchored")


def test_an_empty_worker_is_drained_and_deleted_and_its_agent_comes_back(mesh: MeshUnderTest) -> None:
    worker = worker_of(mesh)
    uid = json.loads(mesh.moor("workers", "-o", "json").stdout)["workers"][0]["uid"]
    assert "drained" in mesh.moor("drain", worker).stderr
    assert "READY, drained" in mesh.moor("workers").stdout
    mesh.moor("delete", worker)

    def comes_back() -> bool:
        workers = json.loads(mesh.moor("workers", "-o", "json").stdout)["workers"]
        return [each["state"] for each in workers if each["uid"] != uid] == ["WORKER_STATE_READY"]

    mesh.eventually(comes_back)


def test_the_audit_says_who_did_what(mesh: MeshUnderTest, tiny_file: Path) -> None:
    mesh.moor("deploy", f"file:{tiny_file}", "--name", "audited")
    mesh.moor("scale", "audited", "2")
    (record,) = json.loads(mesh.moor("audit", "audited", "--limit", "1", "-o", "json").stdout)["records"]
    assert record["method"].endswith("/UpdateModel")
    assert "@" in record["actor"]
    assert "replicas: 1 → 2" in mesh.moor("audit", "audited").stdout
    mesh.moor("delete", "audited")
    # A downloader that is asked for something asks the registry for it, and is not who wanted it.
    mesh.moor("pull", f"file:{tiny_file}")
    audit = mesh.moor("audit", "--filter", 'method = "*CreateDownloadRecord"', "--limit", "1", "-o", "json")
    assert {pull["actor"] for pull in json.loads(audit.stdout)["records"]} == {record["actor"]}


def test_a_watch_of_one_name_hears_of_no_other(mesh: MeshUnderTest, tiny_file: Path) -> None:
    watch = subprocess.Popen(
        [BIN / "moor", "watch", "heard", "-o", "name"],
        env=mesh.environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert watch.stdout is not None
    for name in ("unheard", "heard"):
        mesh.moor("deploy", f"file:{tiny_file}", "--name", name)
    for name in ("unheard", "heard"):
        mesh.moor("delete", name)
    heard = []
    for line in watch.stdout:
        heard.append(line.strip())
        if len(heard) > 3 and heard[-1] == "models/heard":
            break
    watch.terminate()
    watch.communicate()
    assert all(name == "models/heard" or name.startswith("models/heard/instances/") for name in heard)
