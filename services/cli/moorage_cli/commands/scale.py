"""`moor scale`: changes how many instances of a model are wanted."""

import asyncio

from google.protobuf.field_mask_pb2 import FieldMask
from rich.console import Console

from moorage.registry.v1.model_pb2 import DesiredState, Model
from moorage.registry.v1.model_service_pb2 import UpdateModelRequest
from moorage_cli import connect
from moorage_cli.commands.deploy import follow, report
from moorage_cli.console import make_console, print_milestone
from moorage_cli.exits import EXIT_UNFINISHED
from moorage_cli.following import follow_until_none_retires
from moorage_cli.names import model_of
from moorage_cli.results import Output
from moorage_cli.target import MeshTarget
from moorage_cli.views.milestones import Mark
from moorage_cli.views.words import plural
from moorage_common.core.ids import new_uid
from moorage_common.rpc.clients import RegistryClient


async def run(
    target: MeshTarget, *, model: str, replicas: int, wait: bool, timeout_s: float | None, output: Output
) -> int:
    """Wants so many instances of a model; with `wait`, returns once there are as many."""
    name = model_of(model)
    console = make_console(stderr=True)
    request = UpdateModelRequest(
        model=Model(name=name, replicas=replicas),
        update_mask=FieldMask(paths=["replicas"]),
        request_id=new_uid(),
    )
    async with connect.registry(target) as registry:
        scaled = (await registry.models.UpdateModel(request)).model
        stopped = scaled.desired_state == DesiredState.DESIRED_STATE_STOPPED
        wish = f"{plural(replicas, 'instance')} of {name}" + (", once it is started" if stopped else "")
        print_milestone(console, Mark.DONE, "wanted", wish)
        code = 0
        if wait and not stopped:
            code = await follow(registry, name, timeout_s=timeout_s)
            code = code or await _shrunk(registry, name, console, timeout_s)
        await report(registry, name, output=output)
    return code


async def _shrunk(registry: RegistryClient, model: str, console: Console, timeout_s: float | None) -> int:
    """Waits until what is no longer wanted has stopped; returns the exit code."""
    try:
        async with asyncio.timeout(timeout_s):
            with console.status(f"waiting until what is no longer wanted of {model} has stopped"):
                await follow_until_none_retires(registry, model)
    except TimeoutError:
        told = f"what is no longer wanted of {model} has not stopped after {timeout_s:g} s; it goes on"
        print_milestone(console, Mark.WAITING, "stopping", told)
        return EXIT_UNFINISHED
    return 0
