"""`moor chat`: asks a running model, and prints its answer as it comes."""

import asyncio
import sys

import typer

from moorage.registry.v1.instance_pb2 import Instance, InstanceState
from moorage_cli import connect
from moorage_cli.chatting import Message, Sampling, stream_answer
from moorage_cli.lookup import instances_named
from moorage_cli.target import MeshTarget
from moorage_cli.views.words import state
from moorage_common.core.errors import ErrorReason, FailedPrecondition
from moorage_common.rpc.clients import RegistryClient


async def run(target: MeshTarget, *, name: str, prompt: str, max_tokens: int, temperature: float) -> int:
    """Answers one prompt, or holds a conversation when none is given on a terminal."""
    sampling = Sampling(max_tokens=max_tokens, temperature=temperature)
    async with connect.registry(target) as registry:
        endpoint = (await running_instance(registry, name)).endpoint
    if prompt or not sys.stdin.isatty():
        await _answer(endpoint, [Message(role="user", content=prompt or sys.stdin.read())], sampling)
        return 0
    conversation: list[Message] = []
    while True:
        try:
            said = await asyncio.to_thread(input, "> ")
        except EOFError:
            return 0
        if said.strip():
            conversation.append(Message(role="user", content=said))
            answer = await _answer(endpoint, conversation, sampling)
            conversation.append(Message(role="assistant", content=answer))


async def running_instance(registry: RegistryClient, name: str) -> Instance:
    """Returns an instance that answers: the one named, or the first of the model named.

    Raises:
        NotFound: There is no such model, or no such instance.
        FailedPrecondition: None of them runs.
    """
    found = await instances_named(registry, name)
    for instance in found:
        if instance.state == InstanceState.INSTANCE_STATE_RUNNING:
            return instance
    states = ", ".join(state(InstanceState.Name(each.state), "INSTANCE_STATE_") for each in found)
    raise FailedPrecondition(
        f"{name} does not run: its state is {states}",
        remedy=f"See why with 'moor explain {name}', or start it with 'moor start {name}'.",
        reason=ErrorReason.SERVICE_UNAVAILABLE,
        resource=found[0].name,
    )


async def _answer(endpoint: str, messages: list[Message], sampling: Sampling) -> str:
    parts: list[str] = []
    async for part in stream_answer(endpoint, messages, sampling):
        parts.append(part)
        typer.echo(part, nl=False)
        sys.stdout.flush()
    typer.echo()
    return "".join(parts)
