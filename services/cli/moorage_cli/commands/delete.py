"""`moor delete`: stops a model and removes it."""

from moorage.registry.v1.model_service_pb2 import DeleteModelRequest
from moorage_cli import connect
from moorage_cli.console import make_console, print_milestone
from moorage_cli.following import follow_until_gone
from moorage_cli.names import model_of
from moorage_cli.options import MeshTarget
from moorage_cli.views.milestones import Mark
from moorage_common.core.ids import new_uid


async def run(target: MeshTarget, *, model: str, wait: bool) -> int:
    """Deletes a model; with `wait`, returns once it is gone."""
    name = model_of(model)
    console = make_console(stderr=True)
    async with connect.registry(target) as registry:
        response = await registry.models.DeleteModel(DeleteModelRequest(name=name, request_id=new_uid()))
        gone = not response.HasField("model")
        if wait and not gone:
            with console.status(f"waiting until {name} has stopped"):
                await follow_until_gone(registry, name)
    label = "deleted" if wait or gone else "deleting"
    print_milestone(console, Mark.DONE, label, name)
    return 0
