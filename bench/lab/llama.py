"""Real llama.cpp processes, as agents start them, and how fast they generate."""

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moorage_agent.engines.xllamacpp_server import ServerSpec

_START_LIMIT_S = 60.0
_SHORT, _LONG = 8, 40


@dataclass(frozen=True, slots=True)
class LlamaServer:
    """One server, with one thread."""

    pid: int
    url: str

    def tokens_per_s(self, depth: int) -> float:
        """Tokens generated a second of the process's own running time, after so many tokens of context.

        A long answer less a short one: what goes before the first token falls out. Its running time, not the
        clock's: what else the machine does is no part of how fast it is.
        """
        prompt = [5] * max(1, depth)
        self._generate(prompt, 1)
        short_s = self._running_s(prompt, _SHORT)
        return (_LONG - _SHORT) / (self._running_s(prompt, _LONG) - short_s)

    def _running_s(self, prompt: list[int], tokens: int) -> float:
        before = _ran_ns(self.pid)
        self._generate(prompt, tokens)
        return (_ran_ns(self.pid) - before) / 1e9

    def _generate(self, prompt: list[int], tokens: int) -> None:
        body = {"prompt": prompt, "n_predict": tokens, "temperature": 0, "ignore_eos": True}
        request = urllib.request.Request(
            f"{self.url}/completion",
            json.dumps({**body, "cache_prompt": True}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request) as response:
            response.read()


@contextmanager
def llama_server(model: Path, home: Path, *, context: int) -> Iterator[LlamaServer]:
    """Runs one."""
    address, spec = home / f"{model.stem}.address", home / f"{model.stem}.spec"
    fields = ServerSpec(
        model_path=str(model),
        projector_path="",
        address_file=str(address),
        host="127.0.0.1",
        alias=model.stem,
        context_length=context,
        parallel_slots=1,
        gpu_layers=0,
        tensor_split=(),
        kv_cache_type="F16",
        flash_attention="auto",
        batch_size=2048,
        micro_batch_size=512,
        unified_kv_cache=False,
        forbid_mmap=False,
        threads=1,
        http_threads=4,
    )
    spec.write_text(json.dumps(fields.to_json()))
    command = [sys.executable, "-P", "-m", "moorage_agent.engines.xllamacpp_server", "--spec", str(spec)]
    with (home / f"{model.stem}.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        yield LlamaServer(process.pid, _address(address)["url"])
    finally:
        process.kill()
        process.wait()


def _address(file: Path) -> dict[str, Any]:
    deadline = time.monotonic() + _START_LIMIT_S
    while not file.exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{file.stem} did not start")
        time.sleep(0.05)
    address: dict[str, Any] = json.loads(file.read_text())
    return address


def _ran_ns(pid: int) -> int:
    """For how long the process's threads have run on a core, by the kernel's count."""
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads)
