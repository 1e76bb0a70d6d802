"""WorkerService, but for the heartbeat stream, which is in `heartbeat`."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

from google.protobuf.duration_pb2 import Duration

from moorage.registry.v1 import worker_service_pb2 as pb
from moorage.registry.v1 import worker_service_pb2_grpc
from moorage_common.core.errors import Aborted, ErrorReason, FieldViolation, InvalidArgument, NotFound
from moorage_common.core.ids import new_uid
from moorage_common.core.names import parse_worker, worker_name
from moorage_common.rpc.server import ServicerContext
from moorage_common.rpc.status import to_status
from moorage_registry.convert.drains import progress_to_proto
from moorage_registry.convert.json import error_to_json, to_json
from moorage_registry.convert.workers import pools_of, worker_to_proto
from moorage_registry.heartbeat.streams import HeartbeatStreams
from moorage_registry.lookout import Lookout
from moorage_registry.mutation import mutate
from moorage_registry.servicers.masks import check_mask
from moorage_registry.store import drains, ledger, listing, removal, workers
from moorage_registry.store.database import Database, Transaction
from moorage_registry.store.lists import WORKER_LIST
from moorage_registry.store.tables import WORKERS


class WorkerServicer(worker_service_pb2_grpc.WorkerServiceServicer):
    """The nodes of the fleet."""

    def __init__(
        self, database: Database, streams: HeartbeatStreams, lookout: Lookout, *, lease_ttl: timedelta
    ) -> None:
        """Takes the store, the keeper of heartbeat streams, what tells when to look again, and a lease's life."""
        self._database = database
        self._streams = streams
        self._lookout = lookout
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
        worker_id = parse_worker(request.name)

        async def work(tx: Transaction) -> pb.CordonWorkerResponse:
            view = await workers.change(
                tx, worker_id, request.etag, lambda worker: replace(worker, cordoned=True)
            )
            return pb.CordonWorkerResponse(worker=worker_to_proto(view))

        return await mutate(self._database, request, pb.CordonWorkerResponse, work)

    async def UncordonWorker(
        self, request: pb.UncordonWorkerRequest, context: ServicerContext
    ) -> pb.UncordonWorkerResponse:
        worker_id = parse_worker(request.name)

        async def work(tx: Transaction) -> pb.UncordonWorkerResponse:
            view = await drains.call_off(tx, worker_id, request.etag)
            return pb.UncordonWorkerResponse(worker=worker_to_proto(view))

        return await mutate(self._database, request, pb.UncordonWorkerResponse, work)

    async def DrainWorker(
        self, request: pb.DrainWorkerRequest, context: ServicerContext
    ) -> AsyncIterator[pb.DrainWorkerResponse]:
        worker_id = parse_worker(request.name)

        async def work(tx: Transaction) -> pb.DrainWorkerResponse:
            return pb.DrainWorkerResponse(
                worker=worker_to_proto(await drains.begin(tx, worker_id, request.etag))
            )

        begun = await mutate(self._database, request, pb.DrainWorkerResponse, work)
        if request.validate_only:
            yield await self._drain_progress(worker_id)
            return
        async for progress in self._follow_drain(worker_id, begun.worker.uid):
            yield progress

    async def DeleteWorker(
        self, request: pb.DeleteWorkerRequest, context: ServicerContext
    ) -> pb.DeleteWorkerResponse:
        worker_id = parse_worker(request.name)
        gone = NotFound(f"{request.name}, the last worker it was for, was deleted", resource=request.name)

        async def work(tx: Transaction) -> pb.DeleteWorkerResponse:
            view = await removal.remove_worker(
                tx,
                worker_id,
                request.etag,
                force=request.force,
                nobody_left=error_to_json(to_status(gone)),
            )
            return pb.DeleteWorkerResponse(worker=worker_to_proto(view))

        return await mutate(self._database, request, pb.DeleteWorkerResponse, work)

    async def _follow_drain(self, worker_id: str, uid: str) -> AsyncIterator[pb.DrainWorkerResponse]:
        looks = self._lookout.looks()
        shown: pb.DrainWorkerResponse | None = None
        while True:
            progress = await self._drain_progress(worker_id)
            if progress.worker.uid != uid or not progress.worker.HasField("drain"):
                raise Aborted(
                    f"the drain of {progress.worker.name} was called off",
                    reason=ErrorReason.DRAIN_CANCELLED,
                    resource=progress.worker.name,
                )
            complete = progress.worker.drain.HasField("complete_time")
            # In between, the last instance is gone and nobody has noted that yet.
            if progress != shown and (complete or progress.instances):
                yield progress
                shown = progress
            if complete:
                return
            await anext(looks)

    async def _drain_progress(self, worker_id: str) -> pb.DrainWorkerResponse:
        async with self._database.read(snapshot=True) as connection:
            worker = await listing.get(connection, WORKERS, worker_name(worker_id), worker_id)
            return progress_to_proto(await drains.progress(connection, worker))


def _check_facts(request: pb.RegisterWorkerRequest) -> None:
    cards = [card.uuid for card in request.facts.accelerators]
    if len(set(cards)) < len(cards):
        violation = FieldViolation("facts.accelerators", "names the same uuid twice")
        raise InvalidArgument("an accelerator is listed twice", violations=[violation])


def _duration(value: timedelta) -> Duration:
    message = Duration()
    message.FromTimedelta(value)
    return message
