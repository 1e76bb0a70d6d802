"""Commands to try on a running mesh, complete with its addresses."""

import json
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

_LIST_MODELS = "moorage.registry.v1.ModelService/ListModels"
_LIST_WORKERS = "moorage.registry.v1.WorkerService/ListWorkers"
_EXPLAIN = "moorage.scheduler.v1.SchedulerService/ExplainInstance"


def things_to_try(addresses: Mapping[str, str], *, instance: str, moor_options: str) -> list[str]:
    """Returns command lines: the same calls with grpcurl, with buf curl, and then with moor.

    Args:
        addresses: "host:port" by service.
        instance: An instance to explain, by name.
        moor_options: What moor needs to find the mesh, e.g. " --data-dir x"; empty by default.
    """
    model = instance.split("/")[1]
    moor = _program("moor")
    calls = [
        (addresses["registry"], _LIST_WORKERS, ""),
        (addresses["registry"], _LIST_MODELS, ""),
        (addresses["scheduler"], _EXPLAIN, json.dumps({"name": instance})),
    ]
    return [
        f"grpcurl -plaintext {addresses['registry']} list",
        *(_grpcurl(*call) for call in calls),
        "",
        *(_buf_curl(*call) for call in calls),
        "",
        f"{moor} chat {model} 'Who are you?'{moor_options}",
        f"{moor} explain {model}{moor_options}",
        f"{moor} logs {model}{moor_options}",
    ]


def _grpcurl(address: str, method: str, body: str) -> str:
    data = f"-d {shlex.quote(body)} " if body else ""
    return f"grpcurl -plaintext {data}{address} {method}"


def _buf_curl(address: str, method: str, body: str) -> str:
    data = f"-d {shlex.quote(body)} " if body else ""
    return f"{_program('buf')} curl --protocol grpc --http2-prior-knowledge {data}http://{address}/{method}"


def _program(name: str) -> str:
    """The program that is installed beside this Python, or the one on the user's PATH."""
    beside = Path(sys.executable).with_name(name)
    if not beside.exists():
        return name
    return str(beside.relative_to(Path.cwd())) if beside.is_relative_to(Path.cwd()) else str(beside)
