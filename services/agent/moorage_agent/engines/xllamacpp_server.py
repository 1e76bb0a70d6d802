"""llama.cpp's server from the ``xllamacpp`` wheel, in a process of its own.

    python -m moorage_agent.engines.xllamacpp_server --spec FILE     serves until it is killed
    python -m moorage_agent.engines.xllamacpp_server --devices       prints what it can compute on, or fails

The file is `ServerSpec.to_json`; once the model is loaded and the port is known, ``address_file``
gets ``{"url": …}``. The log goes to standard error.

SIGTERM keeps its default meaning, which ends the process on the spot. A handler would not do: Python
runs none while the model loads (the library holds the interpreter's lock, for minutes with a large
model), and destroying a server has been seen to hang.
"""

import argparse
import importlib
import json
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from moorage_common.core.llama_cpp import CONTEXT_CHECKPOINTS


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSpec:
    """How to start the server."""

    model_path: str
    projector_path: str
    """Empty: there is none."""
    address_file: str
    host: str
    alias: str
    context_length: int
    parallel_slots: int
    gpu_layers: int
    tensor_split: tuple[float, ...]
    """Share of each visible GPU. Empty: there is at most one."""
    kv_cache_type: str
    """As ggml names its types, e.g. "Q8_0"."""
    flash_attention: str
    batch_size: int
    micro_batch_size: int
    unified_kv_cache: bool
    forbid_mmap: bool
    threads: int
    http_threads: int

    def to_json(self) -> dict[str, Any]:
        """Returns the fields as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        """Builds a spec from `to_json`'s result."""
        return cls(**{**fields, "tensor_split": tuple(fields["tensor_split"])})


_ANY_SPEC = ServerSpec(
    model_path="model.gguf",
    projector_path="projector.gguf",
    address_file="address.json",
    host="127.0.0.1",
    alias="model",
    context_length=512,
    parallel_slots=1,
    gpu_layers=1,
    tensor_split=(1.0,),
    kv_cache_type="F16",
    flash_attention="auto",
    batch_size=512,
    micro_batch_size=512,
    unified_kv_cache=True,
    forbid_mmap=True,
    threads=1,
    http_threads=1,
)


def main() -> None:
    """Runs the program."""
    parser = argparse.ArgumentParser(prog="moorage_agent.engines.xllamacpp_server")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--spec", type=Path)
    what.add_argument("--devices", action="store_true")
    arguments = parser.parse_args()
    if arguments.devices:
        # What the library itself prints is no part of the answer.
        with os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8") as answer:
            os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
            answer.write(json.dumps(_devices()) + "\n")
    else:
        serve(ServerSpec.from_json(json.loads(arguments.spec.read_text(encoding="utf-8"))))


def serve(spec: ServerSpec) -> None:
    """Serves a model until the process is killed."""
    xllamacpp = _import()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    server = xllamacpp.Server(parameters(xllamacpp, spec))
    _write_atomically(Path(spec.address_file), {"url": server.listening_address})
    while True:
        signal.pause()


def parameters(xllamacpp: Any, spec: ServerSpec) -> Any:  # noqa: ANN401 (the wheel has no types)
    """Returns llama.cpp's parameters for a spec."""
    result = xllamacpp.CommonParams()
    result.model.path = spec.model_path
    result.mmproj.path = spec.projector_path
    result.model_alias = {spec.alias}
    result.hostnames = [spec.host]
    result.port = 0
    result.n_ctx = spec.context_length
    result.n_parallel = spec.parallel_slots
    result.n_gpu_layers = spec.gpu_layers
    if spec.tensor_split:
        padding = len(result.tensor_split) - len(spec.tensor_split)
        result.tensor_split = [*spec.tensor_split, *[0.0] * padding]
    result.cache_type_k = result.cache_type_v = _member(
        xllamacpp.ggml_type, f"GGML_TYPE_{spec.kv_cache_type}"
    )
    attention = {"auto": "AUTO", "on": "ENABLED", "off": "DISABLED"}[spec.flash_attention]
    result.flash_attn_type = _member(xllamacpp.llama_flash_attn_type, f"LLAMA_FLASH_ATTN_TYPE_{attention}")
    result.n_batch, result.n_ubatch = spec.batch_size, spec.micro_batch_size
    result.kv_unified = spec.unified_kv_cache
    if spec.forbid_mmap:
        result.load_mode = _member(xllamacpp.llama_load_mode, "LLAMA_LOAD_MODE_NONE")
    result.cpuparams.n_threads = result.cpuparams_batch.n_threads = spec.threads
    result.n_threads_http = spec.http_threads
    result.endpoint_metrics = True
    result.ui = False
    # The agent has it answer a prompt before it counts as running: that warms it up.
    result.warmup = False
    # The placement was decided by the scheduler; nothing may shrink or grow here.
    result.fit_params = False
    # Prompts kept in RAM would be memory that no claim accounts for.
    result.cache_ram_mib = 0
    # Of these, claims account for so many.
    result.n_ctx_checkpoints = CONTEXT_CHECKPOINTS
    return result


def _devices() -> list[str]:
    xllamacpp = _import()
    # A wheel that names its parameters otherwise is found out here, not by each engine that is started.
    parameters(xllamacpp, _ANY_SPEC)
    return [str(device["name"]) for device in xllamacpp.get_device_info()]


def _import() -> Any:  # noqa: ANN401 (the wheel has no types)
    # Not at the top: the agent reads `ServerSpec` from here, and never loads llama.cpp itself.
    return importlib.import_module("xllamacpp")


def _member(enum: Any, name: str) -> Any:  # noqa: ANN401 (the wheel has no types)
    return getattr(enum, name)


def _write_atomically(path: Path, value: Mapping[str, Any]) -> None:
    temporary = path.with_name(f"{path.name}.tmp")
    temporary.write_text(json.dumps(value), encoding="utf-8")
    temporary.replace(path)


if __name__ == "__main__":
    main()
