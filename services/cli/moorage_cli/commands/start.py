"""`moor start`: wants a model running."""

from moorage.registry.v1.model_service_pb2 import StartModelRequest
from moorage_cli import connect
from moorage_cli.commands.deploy import finish
from moorage_cli.names import model_of
from moorage_cli.results import Output
from moorage_cli.target import MeshTarget
from moorage_common.core.ids import new_uid


async def run(target: MeshTarget, *, model: str, wait: bool, timeout_s: float | None, output: Output) -> int:
    """Starts a model, and follows it until it runs."""
    name = model_of(model)
    async with connect.registry(target) as registry:
        await registry.models.StartModel(StartModelRequest(name=name, request_id=new_uid()))
        return await finish(registry, name, wait=wait, timeout_s=timeout_s, output=output)
