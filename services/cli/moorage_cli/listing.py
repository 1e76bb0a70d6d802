"""Lists, over all their pages."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol, TypeVar

from moorage.registry.v1.artifact_pb2 import Artifact, ArtifactCopy
from moorage.registry.v1.artifact_service_pb2 import ListArtifactCopiesRequest, ListArtifactsRequest
from moorage.registry.v1.audit_service_pb2 import AuditRecord, ListAuditRecordsRequest
from moorage.registry.v1.instance_pb2 import Instance
from moorage.registry.v1.instance_service_pb2 import (
    ListInstancesRequest,
    ListModelEndpointsRequest,
    ModelEndpoint,
)
from moorage.registry.v1.model_pb2 import Model
from moorage.registry.v1.model_service_pb2 import ListModelsRequest
from moorage.registry.v1.worker_pb2 import Worker
from moorage.registry.v1.worker_service_pb2 import ListWorkersRequest
from moorage_cli.query import EVERYTHING, Query
from moorage_common.rpc.clients import RegistryClient

_PAGE_SIZE = 1000
EVERY_MODEL = "models/-"


class _Request(Protocol):
    page_size: int
    page_token: str
    filter: str
    order_by: str


class _Response(Protocol):
    next_page_token: str


RequestT = TypeVar("RequestT", bound=_Request)
ResponseT = TypeVar("ResponseT", bound=_Response)
ResourceT = TypeVar("ResourceT")


async def _all(
    call: Callable[[RequestT], Awaitable[ResponseT]],
    request: RequestT,
    of: Callable[[ResponseT], Iterable[ResourceT]],
    query: Query,
) -> list[ResourceT]:
    """Returns what is on all pages of a list, or as much of it as is wanted."""
    found: list[ResourceT] = []
    request.filter, request.order_by = query.filter, query.order_by
    while True:
        left = _PAGE_SIZE if query.limit is None else query.limit - len(found)
        request.page_size = min(left, _PAGE_SIZE)
        response = await call(request)
        found += of(response)
        request.page_token = response.next_page_token
        if not response.next_page_token or (query.limit is not None and len(found) >= query.limit):
            return found


async def all_models(registry: RegistryClient, query: Query = EVERYTHING) -> list[Model]:
    """Returns models."""
    return await _all(registry.models.ListModels, ListModelsRequest(), lambda page: page.models, query)


async def all_instances(
    registry: RegistryClient, model: str = EVERY_MODEL, query: Query = EVERYTHING
) -> list[Instance]:
    """Returns the instances of a model, or of all."""
    request = ListInstancesRequest(parent=model)
    return await _all(registry.instances.ListInstances, request, lambda page: page.instances, query)


async def all_endpoints(
    registry: RegistryClient, model: str = EVERY_MODEL, query: Query = EVERYTHING
) -> list[ModelEndpoint]:
    """Returns where a model, or all, can be reached."""
    request = ListModelEndpointsRequest(parent=model)
    return await _all(registry.instances.ListModelEndpoints, request, lambda page: page.endpoints, query)


async def all_workers(registry: RegistryClient, query: Query = EVERYTHING) -> list[Worker]:
    """Returns workers."""
    return await _all(registry.workers.ListWorkers, ListWorkersRequest(), lambda page: page.workers, query)


async def all_artifacts(registry: RegistryClient, query: Query = EVERYTHING) -> list[Artifact]:
    """Returns artifacts."""
    request = ListArtifactsRequest()
    return await _all(registry.artifacts.ListArtifacts, request, lambda page: page.artifacts, query)


async def all_copies(registry: RegistryClient, query: Query = EVERYTHING) -> list[ArtifactCopy]:
    """Returns the copies of all artifacts."""
    request = ListArtifactCopiesRequest(parent="artifacts/-")
    return await _all(registry.artifacts.ListArtifactCopies, request, lambda page: page.copies, query)


async def audit_records(registry: RegistryClient, query: Query) -> list[AuditRecord]:
    """Returns audit records, the newest first unless told otherwise."""
    request = ListAuditRecordsRequest()
    return await _all(registry.audit.ListAuditRecords, request, lambda page: page.records, query)
