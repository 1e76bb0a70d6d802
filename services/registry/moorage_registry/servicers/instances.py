"""InstanceService."""

from collections.abc import Iterable

from google.rpc import status_pb2

from moorage.registry.v1 import instance_service_pb2 as pb
from moorage.registry.v1 import instance_service_pb2_grpc
from moorage_common.core.names import parse_instance, parse_model, parse_worker
from moorage_common.rpc.enums import ENGINE_KIND, INSTANCE_STATE
from moorage_common.rpc.server import ServicerContext
from moorage_common.rpc.status import to_status
from moorage_registry.convert.instances import explanation_from_proto, instance_to_proto
from moorage_registry.convert.json import optional_error, to_json
from moorage_registry.core.reports import EVENT_OF_STATE, InstanceReport
from moorage_registry.mutation import mutate
from moorage_registry.servicers.endpoints import ModelEndpoints
from moorage_registry.store import instances, listing, placements, schema, workers
from moorage_registry.store.database import Database, Transaction
from moorage_registry.store.lists import INSTANCE_LIST
from moorage_registry.store.tables import INSTANCES

_ALL = "models/-"


class InstanceServicer(ModelEndpoints, instance_service_pb2_grpc.InstanceServiceServicer):
    """The replicas of models."""

    def __init__(self, database: Database) -> None:
        """Takes the store."""
        self._database = database

    async def GetInstance(
        self, request: pb.GetInstanceRequest, context: ServicerContext
    ) -> pb.GetInstanceResponse:
        key = parse_instance(request.name)
        async with self._database.read() as connection:
            instance = await listing.get(connection, INSTANCES, request.name, *key)
        return pb.GetInstanceResponse(instance=instance_to_proto(instance))

    async def ListInstances(
        self, request: pb.ListInstancesRequest, context: ServicerContext
    ) -> pb.ListInstancesResponse:
        everything = request.parent == _ALL
        where = (
            [] if everything else [schema.instances.c.model_id == parse_model(request.parent, field="parent")]
        )
        async with self._database.read() as connection:
            found, token = await listing.page(
                connection, INSTANCE_LIST, request, query=f"{request.parent}/instances", where=where
            )
        return pb.ListInstancesResponse(instances=map(instance_to_proto, found), next_page_token=token)

    async def RestartInstance(
        self, request: pb.RestartInstanceRequest, context: ServicerContext
    ) -> pb.RestartInstanceResponse:
        model_id, instance_id = parse_instance(request.name)

        async def work(tx: Transaction) -> pb.RestartInstanceResponse:
            instance = await instances.restart(tx, model_id, instance_id, request.etag)
            return pb.RestartInstanceResponse(instance=instance_to_proto(instance))

        return await mutate(self._database, request, pb.RestartInstanceResponse, work)

    async def NominateInstances(
        self, request: pb.NominateInstancesRequest, context: ServicerContext
    ) -> pb.NominateInstancesResponse:
        items = [_nomination(item, index) for index, item in enumerate(request.nominations)]
        results = await self._database.transact(lambda tx: placements.nominate(tx, items))
        return pb.NominateInstancesResponse(results=_results(results))

    async def BindInstances(
        self, request: pb.BindInstancesRequest, context: ServicerContext
    ) -> pb.BindInstancesResponse:
        items = [_binding(item, index) for index, item in enumerate(request.bindings)]
        results = await self._database.transact(lambda tx: placements.bind(tx, items))
        return pb.BindInstancesResponse(results=_results(results))

    async def ReportInstance(
        self, request: pb.ReportInstanceRequest, context: ServicerContext
    ) -> pb.ReportInstanceResponse:
        model_id, instance_id = parse_instance(request.instance, field="instance")
        worker_id = parse_worker(request.worker, field="worker")
        report = InstanceReport(
            uid=request.uid,
            worker_id=worker_id,
            event=EVENT_OF_STATE[INSTANCE_STATE.from_proto(request.state)],
            endpoint=request.endpoint,
            error=optional_error(request),
            restart_count=request.restart_count,
            generation=request.generation,
        )

        async def work(tx: Transaction) -> pb.ReportInstanceResponse:
            left = await instances.report(tx, model_id, instance_id, report)
            await workers.check_leases(tx, {worker_id: request.lease_id})
            return pb.ReportInstanceResponse(instance=instance_to_proto(left) if left else None)

        return await self._database.transact(work)


def _nomination(item: pb.Nomination, index: int) -> placements.Nomination:
    at = f"nominations[{index}]"
    model_id, instance_id = parse_instance(item.instance, field=f"{at}.instance")
    return placements.Nomination(
        model_id=model_id,
        instance_id=instance_id,
        etag=item.etag,
        explanation=explanation_from_proto(item.explanation),
        worker_id=parse_worker(item.worker, field=f"{at}.worker") if item.worker else None,
        subordinates=_subordinates(item.subordinates, at),
    )


def _binding(item: pb.Binding, index: int) -> placements.Binding:
    at = f"bindings[{index}].placement"
    model_id, instance_id = parse_instance(item.instance, field=f"bindings[{index}].instance")
    placement = item.placement
    worker_id = parse_worker(placement.worker, field=f"{at}.worker")
    subordinates = _subordinates(placement.subordinates, at)
    ids = dict(zip([placement.worker, *placement.subordinates], [worker_id, *subordinates], strict=True))
    return placements.Binding(
        model_id=model_id,
        instance_id=instance_id,
        etag=item.etag,
        explanation=explanation_from_proto(item.explanation),
        worker_id=worker_id,
        subordinates=subordinates,
        engine=ENGINE_KIND.from_proto(placement.engine) if placement.engine else None,
        placement=to_json(placement),
        claims=tuple((ids[claim.worker], claim.pool, claim.size_bytes) for claim in placement.claims),
    )


def _subordinates(names: Iterable[str], at: str) -> tuple[str, ...]:
    return tuple(parse_worker(name, field=f"{at}.subordinates[{n}]") for n, name in enumerate(names))


def _results(results: list[placements.ItemResult]) -> list[pb.InstanceResult]:
    return [
        pb.InstanceResult(
            index=index,
            status=to_status(result.error) if result.error else status_pb2.Status(),
            instance=instance_to_proto(result.instance) if result.instance else None,
        )
        for index, result in enumerate(results)
    ]
