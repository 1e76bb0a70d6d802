"""A real model, real engines, and a manager that runs them with little patience."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest
from agent_lab import EngineLab, PlainFiles, end_engines

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
    lab = EngineLab(root=root, files=files, engine=XllamacppEngine(http, default_threads=1))
    try:
        async with lab.tasks:
            yield lab
    finally:
        end_engines(root)


@pytest.fixture
def ask(http: aiohttp.ClientSession) -> Callable[[str], Awaitable[str]]:
    """Has an endpoint complete a prompt."""

    async def complete(endpoint: str, prompt: str = "Hello") -> str:
        body = {"model": "tiny", "prompt": prompt, "max_tokens": 4, "temperature": 0}
        async with http.post(f"{endpoint}/completions", json=body) as response:
            assert response.status == 200
            return str((await response.json())["choices"][0]["text"])

    return complete
