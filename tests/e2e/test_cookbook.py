"""Every line of the cookbook, run as it stands there, but for the words in capitals and the ports."""

import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from mesh_under_test import MeshUnderTest

from moorage_cli.quickstart.tiny_model import TinyModel

pytestmark = pytest.mark.e2e

PAGE = (Path(__file__).parents[2] / "docs" / "cookbook.md").read_text()
SERVERS = {"7600": "registry", "7601": "scheduler", "7602": "downloader", "7603": "agent"}


@dataclass(frozen=True)
class Line:
    """One command of the page."""

    text: str
    refused: bool

    @property
    def words(self) -> list[str]:
        return shlex.split(self.text)

    def option(self, name: str) -> str:
        words = self.words
        return words[words.index(name) + 1] if name in words else ""

    @property
    def server(self) -> str:
        return next(SERVERS[word.rpartition(":")[2]] for word in self.words if word.startswith("127.0.0.1:"))

    @property
    def target(self) -> str:
        return self.words[-1]


def lines() -> Iterator[Line]:
    for kind, block in re.findall(r"(?ms)^```sh( refused)?\n(.*?)^```", PAGE):
        for text in block.replace("\\\n", "").splitlines():
            yield Line(text, refused=bool(kind))


def test_every_line_does_what_the_page_says(mesh: MeshUnderTest) -> None:
    source = mesh.publish("cookbook", TinyModel())
    answered: dict[str, str] = {}
    for line in lines():
        assert line.words[:2] == ["grpcurl", "-plaintext"], line.text
        output = run(mesh, filled(mesh, line, source, answered))
        answered[line.target] = output
        if line.target.endswith("/CreateModel") and "request_id" in line.text:
            mesh.eventually(lambda: mesh.is_running("llama"))
    mesh.eventually(lambda: mesh.buf("registry", GET, body={"name": "models/llama"}).returncode != 0)


GET = "moorage.registry.v1.ModelService/GetModel"
LIST = "moorage.registry.v1.InstanceService/ListInstances"
INSPECT = "moorage.downloader.v1.DownloadService/InspectSource"
DOWNLOADS = "moorage.downloader.v1.DownloadService/ListDownloads"
WORKERS = "moorage.registry.v1.WorkerService/ListWorkers"


def filled(mesh: MeshUnderTest, line: Line, source: str, answered: dict[str, str]) -> Line:
    """The line with what stands for the words in capitals."""
    text = line.text.replace("SOURCE", source)
    if "ARTIFACT" in text:
        text = text.replace("ARTIFACT", found(r'"name": ?"(artifacts/[^"]+)"', answered[INSPECT]))
    if "INSTANCE" in text:
        instances = mesh.call("registry", LIST, {"parent": "models/llama"})["instances"]
        text = text.replace("INSTANCE", instances[0]["name"].rpartition("/")[2])
    if "WORKER" in text:
        worker = mesh.call("registry", WORKERS)["workers"][0]["name"]
        text = text.replace("WORKER", worker.removeprefix("workers/"))
    if "DOWNLOAD" in text:
        text = text.replace("DOWNLOAD", found(r'"name": ?"downloads/([^"]+)"', answered[DOWNLOADS]))
    return Line(text, line.refused)


def found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    assert match, text
    return match[1]


def run(mesh: MeshUnderTest, line: Line) -> str:
    """Runs a line by `buf curl`, and returns what it prints."""
    if line.target == "list":
        result = mesh.buf(line.server, "--list-services")
    elif "describe" in line.words:
        return described(mesh, line)
    else:
        command = mesh.buf_command(line.server, *headers(line), line.target)
        command[2:2] = ["--data", line.option("-d") or "{}"]
        result = finished(command, within_s=float(line.option("-max-time") or 60))
    assert (result.returncode != 0) == line.refused, (line.text, result.stdout, result.stderr)
    if line.refused:
        assert "google.rpc.ErrorInfo" in result.stderr, (line.text, result.stderr)
    else:
        assert result.stdout.strip(), line.text
    return result.stdout


def headers(line: Line) -> list[str]:
    return ["--header", line.option("-H")] if "-H" in line.words else []


def finished(command: list[str], *, within_s: float) -> subprocess.CompletedProcess[str]:
    """Runs a command. A stream that would go on for ever is ended, as ``-max-time`` ends it."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            stdout, stderr = process.communicate(timeout=within_s)
        except subprocess.TimeoutExpired:
            process.kill()
            stdout, stderr = process.communicate()
            return subprocess.CompletedProcess(command, 0, stdout, stderr)
    return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)


def described(mesh: MeshUnderTest, line: Line) -> str:
    """`buf` has no describe: reflection is asked for what grpcurl would print, comments included."""
    with grpc.insecure_channel(mesh.address(line.server)) as channel:
        file = ProtoReflectionDescriptorDatabase(channel).FindFileContainingSymbol(line.target)
    comments = [location.leading_comments for location in file.source_code_info.location]
    assert any(comments), line.text
    return "".join(comments)
