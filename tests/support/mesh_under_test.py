"""A whole mesh as real processes, as a user gets it from `moor up`, and two ways to talk to it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from moorage_cli.launcher.processes import ProcessRecord
from moorage_cli.quickstart.tiny_model import TinyModel, write_tiny_model

BIN = Path(sys.executable).parent
PROCESSES = ("postgres", "registry", "scheduler", "downloader", "agent")


class MeshUnderTest:
    """A mesh run by `moor up`.

    Args:
        home: Its data directory.
        models: Directory that the hub serves.
        environment: Settings beyond the usual.
    """

    def __init__(self, home: Path, models: Path, environment: dict[str, str]) -> None:
        self.home = home
        self.models = models
        self.environment = {
            **os.environ,
            "MOORAGE_HOME": str(home),
            # Whoever runs the tests has contexts of their own.
            "XDG_CONFIG_HOME": str(home.with_name(f"{home.name}-config")),
            "NO_COLOR": "1",
            **environment,
        }
        self.output = home.with_name("up.txt")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.output.open("ab") as output:
            # Away from the blocks that people use, and from those of a test run beside this one.
            first_port = str(20_000 + os.getpid() % 1000 * 10)
            self.process = subprocess.Popen(
                [BIN / "moor", "up", "--first-port", first_port],
                env=self.environment,
                stdout=output,
                stderr=output,
            )
        shown = len(self.output.read_text())
        eventually(lambda: "Up; logs are in" in self.said(shown - 1) or self._ended(), within_s=60)
        assert self.process.poll() is None, self.output.read_text()

    def kill_launcher(self) -> None:
        """Kills `moor up` itself without warning."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def said(self, since: int = 0) -> str:
        return self.output.read_text()[max(0, since) :]

    def _ended(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def address(self, service: str) -> str:
        address: str = json.loads((self.home / "mesh.json").read_text())["addresses"][service]
        return address

    def pid(self, name: str) -> int:
        return ProcessRecord.read(self.home / "run" / f"{name}.json").pid

    def is_alive(self, name: str) -> bool:
        """Whether a process runs now."""
        return ProcessRecord.read(self.home / "run" / f"{name}.json").process() is not None

    def kill(self, name: str) -> int:
        """Kills a process without warning; returns its former id."""
        pid = self.pid(name)
        os.kill(pid, signal.SIGKILL)
        return pid

    def moor(self, *arguments: str, code: int | None = 0) -> subprocess.CompletedProcess[str]:
        """Runs `moor`, and expects this exit code (None: any)."""
        result = subprocess.run(
            [BIN / "moor", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=90,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        assert code is None or result.returncode == code, (result.args, result.stdout, result.stderr)
        assert "Traceback" not in result.stderr, result.stderr
        return result

    def buf(self, service: str, *arguments: str, body: object = None) -> subprocess.CompletedProcess[str]:
        """Runs `buf curl`, which knows the mesh by nothing but its address and reflection."""
        return subprocess.run(
            self.buf_command(service, *arguments, body=body),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def buf_command(self, service: str, *arguments: str, body: object = None) -> list[str]:
        """Returns the command line of a `buf curl`; the last argument is a method, or an option that needs none."""
        flags = ["--protocol", "grpc", "--http2-prior-knowledge"]
        flags += ["--data", json.dumps(body)] if body is not None else []
        *options, target = arguments
        address = f"http://{self.address(service)}"
        where = f"{address}/{target}" if "/" in target else address
        options += [] if "/" in target else [target]
        return [str(BIN / "buf"), "curl", *flags, *options, where]

    def call(self, service: str, method: str, body: object = None) -> dict[str, Any]:
        """Calls a method by `buf curl`, and returns the response."""
        result = self.buf(service, method, body=body if body is not None else {})
        assert result.returncode == 0, result.stderr
        response: dict[str, Any] = json.loads(result.stdout or "{}")
        return response

    def instance(self, model: str) -> dict[str, Any]:
        """Returns the only instance of a model."""
        method = "moorage.registry.v1.InstanceService/ListInstances"
        (instance,) = self.call("registry", method, {"parent": f"models/{model}"})["instances"]
        found: dict[str, Any] = instance
        return found

    def eventually(self, condition: Callable[[], object], *, within_s: float = 60) -> None:
        """Waits until something is so of the mesh; when it takes too long, tells what the mesh said."""
        try:
            eventually(condition, within_s=within_s)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.said()}\n{self.moor('ps', code=None).stdout}") from None

    def is_running(self, model: str) -> bool:
        """Whether a model's only instance answers."""
        return bool(self.instance(model)["state"] == "INSTANCE_STATE_RUNNING")

    def publish(self, name: str, model: TinyModel) -> str:
        """Puts a model on the hub, and returns its source."""
        path = self.models / "test" / name / "model.gguf"
        path.parent.mkdir(parents=True)
        write_tiny_model(path, model)
        return f"hf:test/{name}/model.gguf"


def eventually(condition: Callable[[], object], *, within_s: float = 30) -> None:
    """Waits until something is so; fails when it takes too long."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"not so within {within_s} s"
        time.sleep(0.05)
