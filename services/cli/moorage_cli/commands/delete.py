"""`moor delete`: removes a model or a worker."""

from rich.console import Console

from moorage.registry.v1.model_service_pb2 import DeleteModelRequest
from moorage.registry.v1.worker_service_pb2 import DeleteWorkerRequest
from moorage_cli import connect
from moorage_cli.console import make_console, print_milestone, show
from moorage_cli.following import follow_until_gone
from moorage_cli.names import resource_of
from moorage_cli.results import Output, Result
from moorage_cli.target import MeshTarget
from moorage_cli.views.milestones import Mark
from moorage_common.core.errors import InvalidArgument
from moorage_common.core.ids import new_uid
from moorage_common.core.names import MODEL, WORKER
from moorage_common.rpc.clients import RegistryClient


async def run(target: MeshTarget, *, name: str, force: bool, wait: bool, output: Output) -> int:
    """Deletes a model, or a worker by its full name; with `wait`, returns once it is gone."""
    full = resource_of(name)
    if not (MODEL.matches(full) or WORKER.matches(full)):
        raise InvalidArgument(
            f"{full} cannot be deleted: only models and workers can",
            remedy="An instance goes with its model, or by 'moor scale'.",
        )
    if force and not WORKER.matches(full):
        raise InvalidArgument(
            f"--force is for workers, and {full} is a model",
            remedy=f"A model needs none: moor delete {name}",
        )
    console = make_console(stderr=True)
    async with connect.registry(target) as registry:
        if WORKER.matches(full):
            request = DeleteWorkerRequest(name=full, force=force, request_id=new_uid())
            await registry.workers.DeleteWorker(request)
            gone = True
        else:
            gone = await _delete_model(registry, full, console, wait=wait)
    print_milestone(console, Mark.DONE, "deleted" if gone else "deleting", full)
    show(output, Result(data={"name": full, "deleted": gone}, names=[full]))
    return 0


async def _delete_model(registry: RegistryClient, name: str, console: Console, *, wait: bool) -> bool:
    response = await registry.models.DeleteModel(DeleteModelRequest(name=name, request_id=new_uid()))
    if not response.HasField("model"):
        return True
    if wait:
        with console.status(f"waiting until {name} has stopped"):
            await follow_until_gone(registry, name)
    return wait
