"""WorkerService, but for the heartbeat stream, which is in `heartbeat`."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

from google.protobuf.duration_pb2 import Duration

from moorage.registry.v1 import worker_service_pb2 as pb
from moorage.registry.v1 import worker_service_pb2_grpc
from moorage_common.core.errors import FieldViolation, InvalidArgument
from moorage_common.core.ids import new_uid
from moorage_common.core.names import parse_worker
from moorage_common.rpc.server import ServicerContext
from moorage_registry.convert.json import to_json
from moorage_registry.convert.workers import pools_of, worker_to_proto
from moorage_registry.core.changes import WorkerView
from moorage_registry.core.records import Worker
from moorage_registry.heartbeat.streams import HeartbeatStreams
from moorage_registry.mutation import mutate
from moorage_registry.servicers.masks import check_mask
from moorage_registry.store import ledger, listing, workers
from moorage_registry.store.database import Database, Transaction
from moorage_registry.store.lists import WORKER_LIST
from moorage_registry.store.tables import WORKERS


class WorkerServicer(worker_service_pb2_grpc.WorkerServiceServicer):
    """The nodes of the fleet."""

    def __init__(self, database: Database, streams: HeartbeatStreams, *, lease_ttl: timedelta) -> None:
        """Takes the store, the keeper of heartbeat streams, and how long a lease lives."""
        self._database = database
        self._streams = streams
        self._lease_ttl = lease_ttl

    async def RegisterWorker(
        self, request: pb.RegisterWorkerRequest, context: ServicerContext
    ) -> pb.RegisterWorkerResponse:
        worker_id = parse_worker(request.name)
        _check_facts(request)
        registration = workers.Registration(
            worker_id=worker_id,
            node_id=request.facts.node_id,
            facts=to_json(request.facts),
            labels=dict(request.labels),
            pools=pools_of(worker_id, request.facts),
            lease_id=new_uid(),
            ttl=self._lease_ttl,
        )
        view = await self._database.transact(lambda tx: workers.register(tx, registration))
        return pb.RegisterWorkerResponse(
            worker=worker_to_proto(view),
            lease_id=registration.lease_id,
            lease_ttl=_duration(self._lease_ttl),
            heartbeat_interval=_duration(self._lease_ttl / 3),
        )

    async def Heartbeat(
        self, requests: AsyncIterator[pb.HeartbeatRequest], context: ServicerContext
    ) -> AsyncIterator[pb.HeartbeatResponse]:
        async for response in self._streams.serve(requests):
            yield response

    async def GetWorker(self, request: pb.GetWorkerRequest, context: ServicerContext) -> pb.GetWorkerResponse:
        worker_id = parse_worker(request.name)
        async with self._database.read() as connection:
            worker = await listing.get(connection, WORKERS, request.name, worker_id)
            [view] = await ledger.read_views(connection, [worker])
        return pb.GetWorkerResponse(worker=worker_to_proto(view))

    async def ListWorkers(
        self, request: pb.ListWorkersRequest, context: ServicerContext
    ) -> pb.ListWorkersResponse:
        async with self._database.read() as connection:
            found, token = await listing.page(connection, WORKER_LIST, request, query="workers")
            views = await ledger.read_views(connection, found)
        return pb.ListWorkersResponse(workers=map(worker_to_proto, views), next_page_token=token)

    async def UpdateWorker(
        self, request: pb.UpdateWorkerRequest, context: ServicerContext
    ) -> pb.UpdateWorkerResponse:
        worker_id = parse_worker(request.worker.name, field="worker.name")
        check_mask(request.update_mask, {"labels"})
        labels = dict(request.worker.labels)

        async def work(tx: Transaction) -> pb.UpdateWorkerResponse:
            view = await workers.change(
                tx, worker_id, request.worker.etag, lambda worker: replace(worker, labels=labels)
            )
            return pb.UpdateWorkerResponse(worker=worker_to_proto(view))

        return await mutate(self._database, request, pb.UpdateWorkerResponse, work)

    async def CordonWorker(
        self, request: pb.CordonWorkerRequest, context: ServicerContext
    ) -> pb.CordonWorkerResponse:
        async def work(tx: Transaction) -> pb.CordonWorkerResponse:
            view = await _set_cordoned(tx, request.name, request.etag, cordoned=True)
            return pb.CordonWorkerResponse(worker=worker_to_proto(view))

        return await mutate(self._database, request, pb.CordonWorkerResponse, work)

    async def UncordonWorker(
        self, request: pb.UncordonWorkerRequest, context: ServicerContext
    ) -> pb.UncordonWorkerResponse:
        async def work(tx: Transaction) -> pb.UncordonWorkerResponse:
            view = await _set_cordoned(tx, request.name, request.etag, cordoned=False)
            return pb.UncordonWorkerResponse(worker=worker_to_proto(view))

        return await mutate(self._database, request, pb.UncordonWorkerResponse, work)


async def _set_cordoned(tx: Transaction, name: str, etag: str, *, cordoned: bool) -> WorkerView:
    worker_id = parse_worker(name)

    def how(worker: Worker) -> Worker:
        return replace(worker, cordoned=cordoned)

    return await workers.change(tx, worker_id, etag, how)


def _check_facts(request: pb.RegisterWorkerRequest) -> None:
    cards = [card.uuid for card in request.facts.accelerators]
    if len(set(cards)) < len(cards):
        violation = FieldViolation("facts.accelerators", "names the same uuid twice")
        raise InvalidArgument("an accelerator is listed twice", violations=[violation])


def _duration(value: timedelta) -> Duration:
    message = Duration()
    message.FromTimedelta(value)
    return message
