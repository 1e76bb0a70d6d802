"""A real model, real engines, and a manager that runs them with little patience."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest
from agent_lab import EngineLab, PlainFiles, end_engines
from agent_mesh import AgentProcess, BlobServer, PlayedMesh, free_port, serve_blobs
from fleet_tools import Fleet

from moorage_agent.engines.xllamacpp import XllamacppEngine
from moorage_cli.quickstart.tiny_model import TinyModel, write_tiny_model


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GGUF that llama.cpp answers from."""
    path = tmp_path_factory.mktemp("model") / "tiny.gguf"
    write_tiny_model(path, TinyModel())
    return path


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def lab(tmp_path: Path, tiny_model: Path, http: aiohttp.ClientSession) -> AsyncIterator[EngineLab]:
    """Engines under a directory of the test's own; none outlives the test."""
    root = tmp_path / "engines"
    root.mkdir()
    files = PlainFiles({("tiny-artifact", "tiny.gguf"): tiny_model})
    lab = EngineLab(
        root=root, files=files, engine=XllamacppEngine(http, environment=os.environ, default_threads=1)
    )
    try:
        async with lab.tasks:
            yield lab
    finally:
        end_engines(root)


@pytest.fixture
async def blobs(tiny_model: Path) -> AsyncIterator[BlobServer]:
    async with serve_blobs(tiny_model.read_bytes()) as server:
        yield server


@pytest.fixture
def mesh(registry, blobs: BlobServer) -> PlayedMesh:
    return PlayedMesh(Fleet(registry.client), blobs)


@pytest.fixture
def start_agent(registry, tmp_path: Path):
    """Starts agents on the test's data directory; none outlives the test, nor do their engines."""
    data_dir = tmp_path / "agent"
    started: list[AgentProcess] = []

    def start(*arguments: str, **changes) -> AgentProcess:
        values = {
            "registry": registry.address,
            "data_dir": data_dir,
            "port": free_port(),
            "logs": tmp_path,
            **changes,
        }
        started.append(AgentProcess.start(arguments=arguments, **values))
        return started[-1]

    yield start
    for agent in started:
        agent.kill()
    end_engines(tmp_path)


@pytest.fixture
def ask(http: aiohttp.ClientSession) -> Callable[[str], Awaitable[str]]:
    """Has an endpoint complete a prompt."""

    async def complete(endpoint: str, prompt: str = "Hello") -> str:
        body = {"model": "tiny", "prompt": prompt, "max_tokens": 4, "temperature": 0}
        async with http.post(f"{endpoint}/completions", json=body) as response:
            assert response.status == 200
            return str((await response.json())["choices"][0]["text"])

    return complete
