"""A llama-server of the user's own, by its command line."""

import json
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import llama_server_double
import pytest
from agent_lab import EngineLab, assignment, break_wheel

from moorage_agent.core.environment import program_environment
from moorage_agent.core.spec import FlashAttention, GpuShare
from moorage_agent.engines import tools
from moorage_agent.engines.contract import EngineUnusable, Launch
from moorage_agent.engines.llama_cpp import accelerators
from moorage_agent.engines.llama_server import LlamaServerEngine
from moorage_agent.engines.tools import printed_by
from moorage_agent.engines.xllamacpp import XllamacppEngine
from moorage_common.core.errors import ErrorReason
from moorage_common.core.states import AcceleratorKind


def launch(directory: Path, **options: Any) -> Launch:
    spec = assignment(**options).spec
    assert spec is not None
    return Launch(spec=spec, model_path=directory / "m.gguf", directory=directory, host="127.0.0.1")


@pytest.fixture
def binary(tmp_path: Path) -> Path:
    path = tmp_path / "llama-server"
    path.write_text(f'#!/bin/sh\nexec {sys.executable} {llama_server_double.__file__} "$@"\n')
    path.chmod(0o755)
    return path


async def test_it_runs_as_the_wheel_does(
    lab: EngineLab, http: aiohttp.ClientSession, binary: Path, ask: Callable[[str], Awaitable[str]]
) -> None:
    lab.engine = LlamaServerEngine(http, binary=binary, environment=os.environ, default_threads=1)
    installed = await lab.engine.installed()
    assert (installed.version, installed.accelerators) == ("7042", (AcceleratorKind.CUDA,))
    manager = lab.manager()
    manager.start(assignment())
    status = await lab.until_running(manager)
    assert (await ask(status.endpoint)).startswith(" Ahoy!")
    await lab.tasks.close()
    second = lab.manager()
    await second.adopt()
    assert (await lab.until_running(second)).pid == status.pid
    await second.stop_all()


EVERY_OPTION: dict[str, Any] = {
    "gpus": (GpuShare(uuid="GPU-b", layers=3), GpuShare(uuid="GPU-a", layers=2)),
    "flash_attention": FlashAttention.ON,
    "micro_batch_size": 4096,
    "unified_kv_cache": True,
    "forbid_mmap": True,
    "parallel_slots": 4,
    "threads": 0,
}


async def test_every_option_is_said(http: aiohttp.ClientSession, binary: Path, tmp_path: Path) -> None:
    engine = LlamaServerEngine(http, binary=binary, environment=os.environ, default_threads=7)
    await engine.installed()
    arguments = " ".join(engine.command(launch(tmp_path, **EVERY_OPTION)).arguments)
    for said in (
        "--parallel 4",
        "--threads 7",
        "--gpu-layers 5",
        "--tensor-split 3,2",
        "--flash-attn on",
        "--cache-type-k f16",
        "--batch-size 4096 --ubatch-size 4096",
        "--ctx-checkpoints 4",
        "--kv-unified",
        "--load-mode none",
    ):
        assert said in arguments
    assert "--mmproj" not in arguments
    assert engine.locate(tmp_path) is not None


async def test_an_older_build_is_told_what_it_knows(
    http: aiohttp.ClientSession, binary: Path, tmp_path: Path
) -> None:
    engine = LlamaServerEngine(http, binary=binary, environment=os.environ, default_threads=7)
    arguments = engine.command(launch(tmp_path, **EVERY_OPTION)).arguments
    assert "--no-mmap" in arguments
    assert not {"--load-mode", "--ctx-checkpoints", "--kv-unified", "--cache-ram"} & set(arguments)


async def test_slots_have_caches_of_their_own_unless_wished_otherwise(
    http: aiohttp.ClientSession, binary: Path, tmp_path: Path
) -> None:
    engine = LlamaServerEngine(http, binary=binary, environment=os.environ, default_threads=7)
    await engine.installed()
    arguments = engine.command(launch(tmp_path)).arguments
    assert "--no-kv-unified" in arguments
    assert not {"--kv-unified", "--load-mode", "--no-mmap", "--flash-attn"} & set(arguments)


async def test_a_projector_beside_the_model_is_loaded_with_it(
    http: aiohttp.ClientSession, binary: Path, tmp_path: Path
) -> None:
    (tmp_path / "mmproj-model-f16.gguf").touch()
    own = LlamaServerEngine(http, binary=binary, environment=os.environ, default_threads=1)
    assert f"--mmproj {tmp_path}/mmproj-model-f16.gguf" in " ".join(own.command(launch(tmp_path)).arguments)
    wheel = XllamacppEngine(http, environment=os.environ, default_threads=1)
    spec = json.loads(Path(wheel.command(launch(tmp_path)).arguments[-1]).read_text(encoding="utf-8"))
    assert spec["projector_path"] == f"{tmp_path}/mmproj-model-f16.gguf"


SHOW = """
import json, sys, xllamacpp
from pathlib import Path
from moorage_agent.engines.xllamacpp_server import ServerSpec, parameters
spec = ServerSpec.from_json(json.loads(Path(sys.argv[1]).read_text()))
found = parameters(xllamacpp, spec)
print(json.dumps({name: str(getattr(found, name)) for name in sys.argv[2].split()}))
"""


async def test_the_wheel_is_told_every_option(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    engine = XllamacppEngine(http, environment=os.environ, default_threads=7)
    spec = engine.command(launch(tmp_path, **EVERY_OPTION)).arguments[-1]
    expected = {
        "n_parallel": "4",
        "n_batch": "4096",
        "n_ubatch": "4096",
        "n_gpu_layers": "5",
        "kv_unified": "True",
        "n_ctx_checkpoints": "4",
        "load_mode": "0",
        "flash_attn_type": "1",
    }
    show = (sys.executable, "-c", SHOW, spec, " ".join(expected))
    printed = await printed_by(show, environment=program_environment(os.environ))
    found = json.loads(printed.stdout)
    assert {name: value.rpartition(": ")[2].rstrip(">") for name, value in found.items()} == expected


@pytest.mark.parametrize(
    ("script", "why"),
    [
        (None, "No such file or directory"),
        (
            "echo loading >&2; echo 'libcuda.so.1: not found' >&2; exit 127",
            "libcuda.so.1: not found (exit code 127)",
        ),
        ("kill -ILL $$", "it says nothing (ended by SIGILL)"),
        ("echo hello", "it does not say its version"),
        ('[ "$1" != --version ] && exit 3; echo version: 7', "it says nothing (exit code 3)"),
    ],
)
async def test_a_binary_that_does_not_run_is_not_usable_and_says_why(
    http: aiohttp.ClientSession, tmp_path: Path, script: str | None, why: str
) -> None:
    path = tmp_path / "llama-server"
    if script is not None:
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
    engine = LlamaServerEngine(http, binary=path, environment=os.environ, default_threads=1)
    with pytest.raises(EngineUnusable) as caught:
        await engine.installed()
    assert why in str(caught.value)


async def test_a_binary_that_is_not_there_starts_nothing(
    lab: EngineLab, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    lab.engine = LlamaServerEngine(
        http, binary=tmp_path / "missing", environment=os.environ, default_threads=1
    )
    manager = lab.manager()
    manager.start(assignment())
    failed = await lab.until_failed(manager)
    assert failed.error is not None
    assert failed.error.reason is ErrorReason.ENGINE_NOT_INSTALLED
    assert str(tmp_path) not in failed.error.message


async def test_the_wheel_on_this_machine(http: aiohttp.ClientSession) -> None:
    installed = await XllamacppEngine(http, environment=os.environ, default_threads=1).installed()
    assert installed.version
    assert all(kind in AcceleratorKind for kind in installed.accelerators)
    # Memory matters: what was loaded to look at it is not loaded here.
    assert "xllamacpp" not in sys.modules


async def test_a_wheel_that_cannot_be_loaded_is_not_usable_and_says_why(
    http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    engine = XllamacppEngine(http, environment=break_wheel(tmp_path), default_threads=1)
    with pytest.raises(EngineUnusable, match=r"libgomp\.so\.1: file too short \(exit code 1\)"):
        await engine.installed()


LOOK = (sys.executable, "-P", "-m", "moorage_agent.engines.xllamacpp_server", "--devices")


async def test_a_wheel_with_other_parameters_is_not_usable(tmp_path: Path) -> None:
    (tmp_path / "xllamacpp.py").write_text("class CommonParams:\n    pass\n")
    with pytest.raises(EngineUnusable, match="AttributeError: 'CommonParams' object has no attribute"):
        await printed_by(LOOK, environment={"PYTHONPATH": str(tmp_path)})


async def test_what_the_wheel_prints_is_no_part_of_its_answer(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import atexit, os\natexit.register(os.write, 1, b'bye')\n")
    printed = await printed_by(LOOK, environment={"PYTHONPATH": str(tmp_path)})
    assert "CPU" in json.loads(printed.stdout)
    assert printed.stderr.endswith("bye")


async def test_the_streams_of_a_program_are_told_apart() -> None:
    noisy = "echo 'ggml_cuda_init: found 1 CUDA devices' >&2; echo '[\"CUDA0\"]'"
    printed = await printed_by(["/bin/sh", "-c", noisy], environment={})
    assert printed == ('["CUDA0"]\n', "ggml_cuda_init: found 1 CUDA devices\n")


async def test_a_program_that_does_not_end_is_not_usable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "_TIMEOUT_S", 0.2)
    with pytest.raises(EngineUnusable, match="it did not end within"):
        await printed_by(["/bin/sleep", "1000"], environment={})


def test_device_names() -> None:
    assert accelerators(["CPU"]) == ()
    assert accelerators(["CUDA0", "CUDA1", "CPU"]) == (AcceleratorKind.CUDA,)
    assert accelerators(["Metal"]) == (AcceleratorKind.METAL,)
    assert accelerators(["ROCm0", "CANN0"]) == (AcceleratorKind.CANN, AcceleratorKind.ROCM)
