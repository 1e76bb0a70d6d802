"""What real llama.cpp says of its memory, started as an agent starts it."""

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from moorage_agent.engines.llama_cpp import logical_batch
from moorage_agent.engines.xllamacpp_server import ServerSpec
from moorage_common.core.placement import FlashAttention
from moorage_scheduler.core.request import LlamaCppOptions

_LOADER = """
import json, os, socket, sys, xllamacpp
from moorage_agent.engines.xllamacpp_server import ServerSpec, parameters
spec, prompt = json.loads(sys.argv[1]), sys.argv[2]
params = parameters(xllamacpp, ServerSpec.from_json(spec))
params.verbosity = 5
server = xllamacpp.Server(params)
if prompt:
    # By hand: an HTTP client's library would be counted as the engine's memory.
    host, _, port = server.listening_address.removeprefix("http://").rpartition(":")
    body = json.dumps({"prompt": prompt, "n_predict": 1}).encode()
    head = f"POST /completion HTTP/1.0\\r\\nContent-Length: {len(body)}\\r\\n\\r\\n".encode()
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(head + body)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert b" 200 " in answer.partition(b"\\n")[0], answer
with open("/proc/self/status") as status:
    resident = [line for line in status if line.startswith("VmRSS")]
print("resident", resident[0].split()[1], flush=True)
os._exit(0)
"""
_BUFFER = re.compile(r"\S+ +(model|KV|RS|compute|output) buffer size = +([0-9.]+) MiB")
_TIMEOUT_S = 300
_MIB = 2**20


@dataclass(frozen=True, kw_only=True)
class Logged:
    """What it allocated, in bytes."""

    weights: float
    kv_cache: float
    """Keys, values and recurrent states."""
    compute: float
    resident: float
    """What the process holds in all."""

    @property
    def total(self) -> float:
        """Weights, cache and compute buffers."""
        return self.weights + self.kv_cache + self.compute


def load(path: Path, options: LlamaCppOptions, *, prompt: str = "") -> Logged:
    """Loads a model in a process of its own, and has it read a prompt.

    Args:
        path: The file, or the first of its shards.
        options: How to start it.
        prompt: What to read. Empty: nothing.
    """
    spec = ServerSpec(
        model_path=str(path),
        projector_path="",
        address_file="",
        host="127.0.0.1",
        alias="model",
        context_length=options.context_length,
        parallel_slots=options.parallel_slots,
        gpu_layers=0,
        tensor_split=(),
        kv_cache_type=options.kv_cache_type.value,
        flash_attention={None: "auto", FlashAttention.ON: "on", FlashAttention.OFF: "off"}[
            options.flash_attention
        ],
        batch_size=logical_batch(options.micro_batch_size),
        micro_batch_size=options.micro_batch_size,
        unified_kv_cache=options.unified_kv_cache,
        forbid_mmap=options.forbid_mmap,
        threads=1,
        http_threads=2,
    )
    done = subprocess.run(
        [sys.executable, "-c", _LOADER, json.dumps(spec.to_json()), prompt],
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
        env={"PATH": os.environ.get("PATH", ""), "GGML_NO_BACKTRACE": "1"},
    )
    text = done.stdout + done.stderr
    resident = re.search(r"^resident (\d+)", text, re.MULTILINE)
    if resident is None:
        raise RuntimeError(f"llama.cpp does not load {path}:\n{text[-2000:]}")
    sizes = dict.fromkeys(("model", "KV", "RS", "compute", "output"), 0.0)
    for kind, size in _BUFFER.findall(text):
        sizes[kind] += float(size) * _MIB
    return Logged(
        weights=sizes["model"],
        kv_cache=sizes["KV"] + sizes["RS"],
        compute=sizes["compute"] + sizes["output"],
        resident=int(resident[1]) * 1024,
    )
