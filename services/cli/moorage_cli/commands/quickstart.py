"""`moor quickstart`: the whole way from nothing to an answer, to look at and to try things on."""

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.text import Text

from moorage.registry.v1.instance_pb2 import Instance
from moorage.registry.v1.model_pb2 import Model
from moorage.registry.v1.model_service_pb2 import GetModelRequest, StartModelRequest
from moorage_cli import connect
from moorage_cli.chatting import Message, Sampling, stream_answer
from moorage_cli.commands.chat import running_instance
from moorage_cli.commands.deploy import Wishes, create, inspect, tell_outcome
from moorage_cli.console import make_console, print_milestone
from moorage_cli.following import follow_deployment
from moorage_cli.launcher.home import DEFAULT_HOME
from moorage_cli.launcher.mesh import Mesh, MeshOptions
from moorage_cli.launcher.session import run_mesh, until_signal
from moorage_cli.quickstart.hints import things_to_try
from moorage_cli.quickstart.tiny_model import TinyModel, write_tiny_model
from moorage_cli.target import MeshTarget
from moorage_cli.views.milestones import Mark
from moorage_common.core.errors import FailedPrecondition, NotFound, Unavailable
from moorage_common.core.ids import new_uid
from moorage_common.rpc.clients import RegistryClient

_TINY_REPOSITORY = "moorage/dinghy"
_TINY_FILE = "dinghy-f32.gguf"
_PROMPT = "Who are you?"
_ANSWER_WITHIN_S = 60.0
_SAMPLING = Sampling(max_tokens=128, temperature=0.0)


async def run(
    *, data_dir: Path, first_port: int, environment: Mapping[str, str], source: str, once: bool
) -> int:
    """Runs a mesh, deploys the source on it, and asks it something."""
    started = time.monotonic()
    console = make_console()
    console.print(Text.assemble(("Moorage", "bold"), f", in {data_dir}\n"))
    hub_root = None if source else _write_hub(data_dir / "hub")
    wishes = Wishes(source=source or f"hf:{_TINY_REPOSITORY}/{_TINY_FILE}")

    async def body(mesh: Mesh) -> int:
        code = await _demonstrate(mesh, wishes, data_dir, console)
        if code or once:
            console.print(f"\n{time.monotonic() - started:.1f} s in all.\n")
            return code
        console.print("\nThe mesh stays up until Ctrl-C.")
        return await until_signal()

    options = MeshOptions(home=data_dir, environment=environment, first_port=first_port, hub_root=hub_root)
    return await run_mesh(options, console, body)


def _write_hub(root: Path) -> Path:
    """Puts the tiny model where the hub serves it from, unless it is there."""
    path = root / _TINY_REPOSITORY / _TINY_FILE
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        staging = path.with_name("writing.gguf")
        write_tiny_model(staging, TinyModel())
        staging.rename(path)
    return root


async def _demonstrate(mesh: Mesh, wishes: Wishes, data_dir: Path, console: Console) -> int:
    target = MeshTarget.at(mesh.addresses)
    console.print(f"\nDeploying {wishes.source}\n", markup=False)
    async with connect.registry(target) as registry:
        model = await _ensure_model(target, registry, wishes, console)
        outcome = await follow_deployment(registry, model.name, console)
        if outcome.error is not None:
            return tell_outcome(outcome, model.name, console)
        instance = await _converse(registry, model.name, console)
    where = "" if data_dir == DEFAULT_HOME else f" --data-dir {data_dir}"
    console.print("\nThings to try\n", style="bold")
    for hint in things_to_try(mesh.addresses, instance=instance.name, moor_options=where):
        console.print(f"  {hint}" if hint else "", markup=False, soft_wrap=True)
    return 0


async def _ensure_model(
    target: MeshTarget, registry: RegistryClient, wishes: Wishes, console: Console
) -> Model:
    """Returns the model, wanted running: created now, or left by an earlier quickstart."""
    name = f"models/{wishes.model_id}"
    try:
        known = (await registry.models.GetModel(GetModelRequest(name=name))).model
    except NotFound:
        await inspect(target, wishes.source, console)
        return await create(registry, name, wishes.model())
    if known.source != wishes.source:
        raise FailedPrecondition(
            f"{name} exists, with another source: {known.source}",
            remedy=f"Remove it with 'moor delete {wishes.model_id}' while the mesh is up.",
            resource=name,
        )
    print_milestone(console, Mark.DONE, "reused", f"{name}, from an earlier run")
    return (await registry.models.StartModel(StartModelRequest(name=name, request_id=new_uid()))).model


async def _converse(registry: RegistryClient, model: str, console: Console) -> Instance:
    """Asks, and prints the answer as it comes; returns the instance that gave it.

    Right after a restart the registry may still name the endpoint of an engine that has ended: then
    the instance is looked up again.
    """
    deadline = time.monotonic() + _ANSWER_WITHIN_S
    while True:
        try:
            instance = await running_instance(registry, model)
            answer = stream_answer(instance.endpoint, [Message(role="user", content=_PROMPT)], _SAMPLING)
            first = await anext(answer)
        except (Unavailable, FailedPrecondition):
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.2)
            continue
        console.print(Text.assemble("\n  ", (_PROMPT, "bold")))
        console.print(f"  {first}", end="", markup=False, soft_wrap=True)
        async for piece in answer:
            console.print(piece, end="", markup=False, soft_wrap=True)
        console.print(f"\n\n  answered by {instance.name} at {instance.endpoint}", style="dim")
        return instance
