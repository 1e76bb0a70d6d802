"""What every way to run llama.cpp's server has in common: its HTTP API, and what its log says."""

import asyncio
import json
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from http import HTTPStatus
from pathlib import Path
from typing import Any

import aiohttp

from moorage_agent.core.usage import EngineCounters
from moorage_agent.engines import llama_log
from moorage_agent.engines.contract import EngineSick
from moorage_agent.engines.counters import llama_cpp_counters
from moorage_common.core.states import AcceleratorKind, EngineKind

ADDRESS_FILE = "address.json"
"""Where a started server's base URL is kept, in the engine's directory: ``{"url": …}``."""

_ANSWER_TIMEOUT_S = 120.0
_USAGE_TIMEOUT_S = 4.0
_LOGICAL_BATCH = 2048

_BACKENDS = {
    "CUDA": AcceleratorKind.CUDA,
    "ROCM": AcceleratorKind.ROCM,
    "HIP": AcceleratorKind.ROCM,
    "METAL": AcceleratorKind.METAL,
    "MTL": AcceleratorKind.METAL,
    "CANN": AcceleratorKind.CANN,
}


class LlamaCppEngine:
    """llama.cpp's server, once it is a process."""

    kind = EngineKind.LLAMA_CPP

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self._http = http
        self._own: defaultdict[str, _OwnUse] = defaultdict(_OwnUse)
        self._asking: Counter[str] = Counter()

    def locate(self, directory: Path) -> str | None:
        """Returns the base URL of a started server; None: not known yet."""
        try:
            return str(json.loads((directory / ADDRESS_FILE).read_text(encoding="utf-8"))["url"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    async def answer(self, url: str, alias: str) -> bool:
        """Has the server complete a few tokens for real; False while it loads."""
        try:
            await self._complete(url, alias, timeout_s=_ANSWER_TIMEOUT_S)
        except _NotThere:
            return False
        return True

    async def alive(self, url: str, alias: str, *, deep: bool, timeout_s: float) -> None:
        """Checks a server that has answered before.

        ``/slots`` goes through the loop that computes, unlike ``/health``, which keeps saying ok when
        that loop hangs. For a deep check, an idle server must compute a token too; a busy one does anyway.
        """
        try:
            busy = await self._busy(url, timeout_s=timeout_s)
            if deep and not busy:
                await self._complete(url, alias, timeout_s=timeout_s)
        except _NotThere as error:
            raise EngineSick(str(error)) from error

    async def usage(self, url: str) -> EngineCounters | None:
        """Returns what the server has counted, less what the agent asked it; None while it is too busy to say."""
        try:
            async with asyncio.timeout(_USAGE_TIMEOUT_S), self._http.get(f"{url}/metrics") as response:
                text = await response.text()
            counters = llama_cpp_counters(text) if response.status == HTTPStatus.OK else None
        except (TimeoutError, aiohttp.ClientError, ValueError):
            return None
        return None if counters is None else self._own[url].taken_from(counters, asking=self._asking[url])

    def explain(self, log: str) -> str:
        """Returns why the server failed, from the end of its log."""
        return llama_log.explain(log)

    async def _busy(self, url: str, *, timeout_s: float) -> bool:
        status, slots = await self._call("GET", f"{url}/slots", timeout_s=timeout_s)
        if status != HTTPStatus.OK or not isinstance(slots, list):
            raise EngineSick(f"it answered /slots with status {status}")
        return any(isinstance(slot, dict) and slot.get("is_processing") for slot in slots)

    async def _complete(self, url: str, alias: str, *, timeout_s: float) -> None:
        body = {"model": alias, "prompt": "Hello", "max_tokens": 1, "temperature": 0}
        self._asking[url] += 1
        try:
            status, answer = await self._call("POST", f"{url}/v1/completions", body=body, timeout_s=timeout_s)
        finally:
            self._asking[url] -= 1
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            raise _NotThere("it is still loading")
        if status != HTTPStatus.OK or not _has_choice(answer):
            raise EngineSick(f"it answered a prompt with status {status}: {_message(answer)}")
        self._own[url].add(answer)

    async def _call(
        self, method: str, url: str, *, body: object = None, timeout_s: float
    ) -> tuple[int, object]:
        try:
            async with asyncio.timeout(timeout_s), self._http.request(method, url, json=body) as response:
                return response.status, json.loads(await response.read())
        except TimeoutError as error:
            raise _NotThere(f"it did not answer within {timeout_s:g} s") from error
        except aiohttp.ClientError as error:
            raise _NotThere("it takes no connections") from error
        except ValueError as error:
            raise EngineSick("it answered with something that is not JSON") from error


@dataclass(slots=True)
class _OwnUse:
    """What one server was asked by the agent, as it counts."""

    prompt_tokens: float = 0.0
    prompt_s: float = 0.0
    generated_tokens: float = 0.0
    generating_s: float = 0.0

    def add(self, answer: Any) -> None:  # noqa: ANN401 (whatever JSON came)
        """Adds an answer, which says how long it took."""
        timings = answer.get("timings")
        if not isinstance(timings, dict):
            return
        self.prompt_tokens += _number(timings.get("prompt_n"))
        self.prompt_s += _number(timings.get("prompt_ms")) / 1e3
        self.generated_tokens += _number(timings.get("predicted_n"))
        self.generating_s += _number(timings.get("predicted_ms")) / 1e3

    def taken_from(self, counters: EngineCounters, *, asking: int) -> EngineCounters:
        """Returns what is left of a server's counters without it."""
        return replace(
            counters,
            prompt_tokens=max(0.0, counters.prompt_tokens - self.prompt_tokens),
            prompt_s=max(0.0, counters.prompt_s - self.prompt_s),
            generated_tokens=max(0.0, counters.generated_tokens - self.generated_tokens),
            generating_s=max(0.0, counters.generating_s - self.generating_s),
            serving=max(0, counters.serving - asking),
        )


class _NotThere(Exception):
    """No answer: it may be loading, busy, or gone."""


def logical_batch(micro_batch_size: int) -> int:
    """Returns how many tokens the server hands over at once: llama.cpp's default, and no less than it computes."""
    return max(_LOGICAL_BATCH, micro_batch_size)


def projector_beside(model: Path) -> Path | None:
    """Returns the projector that turns images into a model's embeddings. None: its artifact has none."""
    return min(model.parent.glob("mmproj*.gguf"), default=None)


def accelerators(devices: list[str]) -> tuple[AcceleratorKind, ...]:
    """Returns the kinds of accelerators behind llama.cpp's device names, e.g. ``CUDA0``."""
    kinds = {
        kind for device in devices for prefix, kind in _BACKENDS.items() if device.upper().startswith(prefix)
    }
    return tuple(sorted(kinds))


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _has_choice(answer: Any) -> bool:  # noqa: ANN401 (whatever JSON came)
    return isinstance(answer, dict) and bool(answer.get("choices"))


def _message(answer: Any) -> str:  # noqa: ANN401 (whatever JSON came)
    error = answer.get("error") if isinstance(answer, dict) else None
    message = error.get("message") if isinstance(error, dict) else error
    return str(message or "no completion")[:200]
