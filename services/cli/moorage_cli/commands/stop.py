"""`moor stop`: wants a model stopped."""

from moorage.registry.v1.model_service_pb2 import StopModelRequest
from moorage_cli import connect
from moorage_cli.console import make_console, print_milestone, show
from moorage_cli.following import follow_until_stopped
from moorage_cli.names import model_of
from moorage_cli.results import Output, Result
from moorage_cli.target import MeshTarget
from moorage_cli.views.milestones import Mark
from moorage_common.core.ids import new_uid


async def run(target: MeshTarget, *, model: str, wait: bool, output: Output) -> int:
    """Stops a model; with `wait`, returns once nothing of it runs."""
    name = model_of(model)
    console = make_console(stderr=True)
    async with connect.registry(target) as registry:
        request = StopModelRequest(name=name, request_id=new_uid())
        stopped = (await registry.models.StopModel(request)).model
        if wait:
            with console.status(f"waiting until {name} has stopped"):
                await follow_until_stopped(registry, name)
    print_milestone(console, Mark.DONE, "stopped" if wait else "stopping", name)
    show(output, Result(data={"model": stopped}, names=[name]))
    return 0
