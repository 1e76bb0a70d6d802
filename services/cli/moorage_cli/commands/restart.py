"""`moor restart`: starts engines again."""

from moorage.registry.v1.instance_pb2 import Instance
from moorage.registry.v1.instance_service_pb2 import RestartInstanceRequest
from moorage_cli import connect
from moorage_cli.commands.deploy import follow
from moorage_cli.console import make_console, print_milestone, show
from moorage_cli.failures import exit_code, print_error
from moorage_cli.lookup import instances_named
from moorage_cli.results import Output, Result, names_of
from moorage_cli.target import MeshTarget
from moorage_cli.views.milestones import Mark
from moorage_cli.views.words import parent
from moorage_common.core.errors import MoorageError
from moorage_common.core.ids import new_uid


async def run(target: MeshTarget, *, name: str, wait: bool, timeout_s: float | None, output: Output) -> int:
    """Restarts an instance, or every instance of a model; with `wait`, returns once they run again.

    One that cannot be restarted keeps no other from it.
    """
    console = make_console(stderr=True)
    restarted: list[Instance] = []
    code = 0
    async with connect.registry(target) as registry:
        for instance in await instances_named(registry, name):
            request = RestartInstanceRequest(name=instance.name, request_id=new_uid())
            try:
                restarted.append((await registry.instances.RestartInstance(request)).instance)
            except MoorageError as error:
                print_error(console, error)
                code = exit_code(error)
            else:
                where = f" on {instance.worker}" if instance.worker else ""
                print_milestone(console, Mark.DONE, "restarting", f"{instance.name}{where}")
        if wait and restarted:
            model, names = parent(restarted[0].name), names_of(restarted)
            code = await follow(registry, model, timeout_s=timeout_s, only=names) or code
    show(output, Result(data={"instances": restarted}, names=names_of(restarted)))
    return code
