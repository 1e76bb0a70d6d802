"""The OpenAI-compatible endpoint of an engine, as far as a conversation needs it."""

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict, dataclass

import aiohttp

from moorage_common.core.errors import ErrorReason, FailedPrecondition, Unavailable

_CONNECT_TIMEOUT_S = 5.0
_SILENCE_TIMEOUT_S = 300.0
"""A long prompt on a slow CPU takes its time until the first token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One turn of a conversation."""

    role: str
    """"user", "assistant" or "system"."""
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How an answer is drawn."""

    max_tokens: int = 512
    temperature: float = 0.7


async def stream_answer(endpoint: str, messages: Sequence[Message], sampling: Sampling) -> AsyncIterator[str]:
    """Yields an answer piece by piece, without the blank that many tokenizers begin it with.

    Args:
        endpoint: Of an instance, e.g. "http://127.0.0.1:41234/v1".
        messages: The conversation so far, the question last.
        sampling: How the answer is drawn.

    Raises:
        Unavailable: Nothing answers there, or it stopped in the middle.
        FailedPrecondition: The engine refused the request.
    """
    body = {"messages": [asdict(message) for message in messages], "stream": True, **asdict(sampling)}
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_TIMEOUT_S, sock_read=_SILENCE_TIMEOUT_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(f"{endpoint}/chat/completions", json=body) as response,
        ):
            if response.status != 200:
                raise FailedPrecondition(
                    f"the engine refused: {_refusal(await response.text())}",
                    reason=ErrorReason.ENGINE_UNHEALTHY,
                )
            begun = False
            async for line in response.content:
                piece = piece_of(line) if begun else piece_of(line).lstrip()
                if piece:
                    begun = True
                    yield piece
    except (aiohttp.ClientError, TimeoutError) as error:
        raise Unavailable(
            f"the engine at {endpoint} does not answer: {error or type(error).__name__}",
            reason=ErrorReason.ENGINE_UNHEALTHY,
            remedy="'moor ps' shows where the model answers now, 'moor logs' what its engine says.",
        ) from error


def piece_of(line: bytes) -> str:
    """Returns the text in one line of a server-sent event stream; empty when it carries none."""
    if not line.startswith(b"data:"):
        return ""
    data = line.removeprefix(b"data:").strip()
    if data == b"[DONE]":
        return ""
    choices = json.loads(data).get("choices") or [{}]
    return choices[0].get("delta", {}).get("content") or ""


def _refusal(body: str) -> str:
    try:
        return str(json.loads(body)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return body[:500] or "it said nothing"
