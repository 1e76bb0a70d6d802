"""`moor cordon` and `moor uncordon`: whether a worker takes new instances."""

from moorage.registry.v1.worker_service_pb2 import CordonWorkerRequest, UncordonWorkerRequest
from moorage_cli import connect
from moorage_cli.console import make_console, print_milestone, show
from moorage_cli.names import worker_of
from moorage_cli.results import Output, Result
from moorage_cli.target import MeshTarget
from moorage_cli.views.milestones import Mark
from moorage_common.core.ids import new_uid


async def cordon(target: MeshTarget, *, worker: str, output: Output) -> int:
    """Lets a worker take no new instances."""
    name = worker_of(worker)
    request = CordonWorkerRequest(name=name, request_id=new_uid())
    async with connect.registry(target) as registry:
        cordoned = (await registry.workers.CordonWorker(request)).worker
    told = f"{name} takes no new instances; what runs there stays"
    print_milestone(make_console(stderr=True), Mark.DONE, "cordoned", told)
    show(output, Result(data={"worker": cordoned}, names=[name]))
    return 0


async def uncordon(target: MeshTarget, *, worker: str, output: Output) -> int:
    """Lets a worker take new instances again, and calls off its drain."""
    name = worker_of(worker)
    request = UncordonWorkerRequest(name=name, request_id=new_uid())
    async with connect.registry(target) as registry:
        uncordoned = (await registry.workers.UncordonWorker(request)).worker
    told = f"{name} takes new instances again; if it was being drained, that is called off"
    print_milestone(make_console(stderr=True), Mark.DONE, "uncordoned", told)
    show(output, Result(data={"worker": uncordoned}, names=[name]))
    return 0
