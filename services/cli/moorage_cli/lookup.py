"""Finds what a name that somebody typed stands for."""

from collections.abc import Sequence

from moorage.registry.v1.instance_pb2 import Instance
from moorage.registry.v1.instance_service_pb2 import GetInstanceRequest
from moorage.registry.v1.model_service_pb2 import GetModelRequest
from moorage_cli.listing import EVERY_MODEL, all_instances
from moorage_cli.names import instance_of, model_of
from moorage_common.core.errors import NotFound
from moorage_common.rpc.clients import RegistryClient


async def instances_named(registry: RegistryClient, name: str) -> Sequence[Instance]:
    """Returns an instance, or those of a model that are not on their way out; at least one.

    Raises:
        NotFound: There is no such model, no such instance, or the model has none.
    """
    wanted = instance_of(name)
    if wanted is not None:
        return [(await registry.instances.GetInstance(GetInstanceRequest(name=wanted))).instance]
    model = model_of(name)
    found = [each for each in await all_instances(registry, model) if not each.retiring]
    if not found:
        await registry.models.GetModel(GetModelRequest(name=model))
        raise NotFound(
            f"{model} has no instance", resource=model, remedy=f"Start the model: moor start {name}"
        )
    return found


async def every_model_or(registry: RegistryClient, model: str) -> str:
    """Returns the name of a model that exists, or what stands for all if none was named.

    Raises:
        NotFound: There is no such model.
    """
    if not model:
        return EVERY_MODEL
    return (await registry.models.GetModel(GetModelRequest(name=model_of(model)))).model.name
