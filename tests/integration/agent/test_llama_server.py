"""A llama-server of the user's own, by its command line."""

import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import aiohttp
import llama_server_double
import pytest
from agent_lab import EngineLab, assignment

from moorage_agent.core.spec import FlashAttention, GpuShare
from moorage_agent.engines.contract import Launch
from moorage_agent.engines.llama_cpp import accelerators
from moorage_agent.engines.llama_server import LlamaServerEngine
from moorage_agent.engines.xllamacpp import XllamacppEngine
from moorage_common.core.errors import ErrorReason
from moorage_common.core.states import AcceleratorKind


@pytest.fixture
def binary(tmp_path: Path) -> Path:
    path = tmp_path / "llama-server"
    path.write_text(f'#!/bin/sh\nexec {sys.executable} {llama_server_double.__file__} "$@"\n')
    path.chmod(0o755)
    return path


async def test_it_runs_as_the_wheel_does(
    lab: EngineLab, http: aiohttp.ClientSession, binary: Path, ask: Callable[[str], Awaitable[str]]
) -> None:
    lab.engine = LlamaServerEngine(http, binary=binary, default_threads=1)
    installed = await lab.engine.installed()
    assert installed is not None
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


async def test_every_option_is_said(http: aiohttp.ClientSession, binary: Path, tmp_path: Path) -> None:
    spec = assignment().spec
    assert spec is not None
    spec = replace(
        spec,
        gpus=(GpuShare(uuid="GPU-b", layers=3), GpuShare(uuid="GPU-a", layers=2)),
        flash_attention=FlashAttention.ON,
        parallel_slots=4,
        threads=0,
    )
    engine = LlamaServerEngine(http, binary=binary, default_threads=7)
    launch = Launch(spec=spec, model_path=tmp_path / "m.gguf", directory=tmp_path, host="127.0.0.1")
    arguments = " ".join(engine.command(launch).arguments)
    for said in (
        "--parallel 4",
        "--threads 7",
        "--gpu-layers 5",
        "--tensor-split 3,2",
        "--flash-attn on",
        "--cache-type-k f16",
    ):
        assert said in arguments
    assert engine.locate(tmp_path) is not None


async def test_a_binary_that_is_not_there_is_not_installed(
    lab: EngineLab, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    lab.engine = LlamaServerEngine(http, binary=tmp_path / "missing", default_threads=1)
    assert await lab.engine.installed() is None
    manager = lab.manager()
    manager.start(assignment())
    failed = await lab.until_failed(manager)
    assert failed.error is not None
    assert failed.error.reason is ErrorReason.ENGINE_NOT_INSTALLED
    assert str(tmp_path) not in failed.error.message


async def test_the_wheel_on_this_machine(http: aiohttp.ClientSession) -> None:
    installed = await XllamacppEngine(http, default_threads=1).installed()
    assert installed is not None
    assert installed.version
    assert all(kind in AcceleratorKind for kind in installed.accelerators)


def test_device_names() -> None:
    assert accelerators(["CPU"]) == ()
    assert accelerators(["CUDA0", "CUDA1", "CPU"]) == (AcceleratorKind.CUDA,)
    assert accelerators(["Metal"]) == (AcceleratorKind.METAL,)
    assert accelerators(["ROCm0", "CANN0"]) == (AcceleratorKind.CANN, AcceleratorKind.ROCM)
