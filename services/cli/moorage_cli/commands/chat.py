"""`moor chat`: asks a running model, and prints its answer as it comes."""

import asyncio
import sys

import typer

from moorage.registry.v1.instance_pb2 import Instance, InstanceState
from moorage.registry.v1.instance_service_pb2 import GetInstanceRequest
from moorage.registry.v1.model_service_pb2 import GetModelRequest
from moorage_cli import connect
from moorage_cli.chatting import Message, Sampling, stream_answer
from moorage_cli.listing import all_instances
from moorage_cli.names import instance_of, model_of
from moorage_cli.options import MeshTarget
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
    wanted = instance_of(name)
    model = model_of(name) if wanted is None else wanted.split("/instances/")[0]
    found = [each for each in await all_instances(registry, model) if wanted in (None, each.name)]
    for instance in found:
        if instance.state == InstanceState.INSTANCE_STATE_RUNNING:
            return instance
    if not found:
        await _check_exists(registry, model, wanted)
    states = ", ".join(state(InstanceState.Name(each.state), "INSTANCE_STATE_") for each in found)
    raise FailedPrecondition(
        f"{wanted or model} does not run: " + (f"its state is {states}" if states else "it has no instance"),
        remedy=f"See why with 'moor explain {name}', or start it with 'moor start {name}'.",
        reason=ErrorReason.SERVICE_UNAVAILABLE,
        resource=wanted or model,
    )


async def _check_exists(registry: RegistryClient, model: str, instance: str | None) -> None:
    if instance is None:
        await registry.models.GetModel(GetModelRequest(name=model))
    else:
        await registry.instances.GetInstance(GetInstanceRequest(name=instance))


async def _answer(endpoint: str, messages: list[Message], sampling: Sampling) -> str:
    parts: list[str] = []
    async for part in stream_answer(endpoint, messages, sampling):
        parts.append(part)
        typer.echo(part, nl=False)
        sys.stdout.flush()
    typer.echo()
    return "".join(parts)
