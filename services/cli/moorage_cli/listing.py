"""Whole lists, over all their pages."""

from collections.abc import Sequence

from moorage.registry.v1.instance_pb2 import Instance
from moorage.registry.v1.instance_service_pb2 import ListInstancesRequest
from moorage.registry.v1.model_pb2 import Model
from moorage.registry.v1.model_service_pb2 import ListModelsRequest
from moorage.registry.v1.worker_pb2 import Worker
from moorage.registry.v1.worker_service_pb2 import ListWorkersRequest
from moorage_common.rpc.clients import RegistryClient

_PAGE_SIZE = 1000


async def all_models(registry: RegistryClient) -> Sequence[Model]:
    """Returns every model, by name."""
    found: list[Model] = []
    token = ""
    while True:
        page = await registry.models.ListModels(ListModelsRequest(page_size=_PAGE_SIZE, page_token=token))
        found += page.models
        token = page.next_page_token
        if not token:
            return found


async def all_instances(registry: RegistryClient, model: str = "models/-") -> Sequence[Instance]:
    """Returns every instance of a model, or of all, by name."""
    found: list[Instance] = []
    token = ""
    while True:
        request = ListInstancesRequest(parent=model, page_size=_PAGE_SIZE, page_token=token)
        page = await registry.instances.ListInstances(request)
        found += page.instances
        token = page.next_page_token
        if not token:
            return found


async def all_workers(registry: RegistryClient) -> Sequence[Worker]:
    """Returns every worker, by name."""
    found: list[Worker] = []
    token = ""
    while True:
        page = await registry.workers.ListWorkers(ListWorkersRequest(page_size=_PAGE_SIZE, page_token=token))
        found += page.workers
        token = page.next_page_token
        if not token:
            return found
