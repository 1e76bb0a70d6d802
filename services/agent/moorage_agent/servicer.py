"""AgentService: a node, asked directly."""

from collections.abc import AsyncIterator, Callable

from moorage.agent.v1 import agent_service_pb2 as pb
from moorage.agent.v1 import agent_service_pb2_grpc
from moorage.registry.v1 import worker_pb2
from moorage_agent.engines.logs import follow_log
from moorage_agent.engines.manager import EngineManager
from moorage_agent.mesh import convert
from moorage_agent.monitor import NodeMonitor
from moorage_agent.storage.copies import CopyManager
from moorage_common.core.names import artifact_name, parse_instance
from moorage_common.core.states import EngineKind
from moorage_common.rpc.server import ServicerContext


class AgentServicer(agent_service_pb2_grpc.AgentServiceServicer):
    """One node."""

    def __init__(
        self,
        *,
        worker: str,
        facts: Callable[[], worker_pb2.NodeFacts],
        registered: Callable[[], bool],
        monitor: NodeMonitor,
        engines: EngineManager,
        copies: CopyManager,
        versions: dict[EngineKind, str],
    ) -> None:
        """Takes what it answers from.

        Args:
            worker: ``workers/{worker}``.
            facts: Returns what the node is and has, as last measured.
            registered: Returns whether the node's lease is live.
            monitor: Measures the node.
            engines: The node's engines.
            copies: The node's artifacts.
            versions: Of the installed engines.
        """
        self._worker = worker
        self._facts = facts
        self._registered = registered
        self._monitor = monitor
        self._engines = engines
        self._copies = copies
        self._versions = versions

    async def GetNode(self, request: pb.GetNodeRequest, context: ServicerContext) -> pb.GetNodeResponse:
        await self._monitor.measure()
        return pb.GetNodeResponse(
            worker=self._worker,
            facts=self._facts(),
            registered=self._registered(),
            foreign_bytes=self._monitor.measurements.foreign_bytes,
        )

    async def ListEngines(
        self, request: pb.ListEnginesRequest, context: ServicerContext
    ) -> pb.ListEnginesResponse:
        return pb.ListEnginesResponse(engines=convert.engines(self._engines.statuses(), self._versions))

    async def StreamEngineLogs(
        self, request: pb.StreamEngineLogsRequest, context: ServicerContext
    ) -> AsyncIterator[pb.StreamEngineLogsResponse]:
        parse_instance(request.instance, field="instance")
        log = await self._engines.log_of(request.instance)
        chunks = follow_log(
            log, tail_lines=request.tail_lines, offset=request.offset_bytes, follow=request.follow
        )
        async for chunk in chunks:
            yield pb.StreamEngineLogsResponse(data=chunk.data, next_offset_bytes=chunk.next_offset)

    async def GetStorage(
        self, request: pb.GetStorageRequest, context: ServicerContext
    ) -> pb.GetStorageResponse:
        return pb.GetStorageResponse(
            storage=convert.storage(await self._copies.figures()),
            artifacts=[
                pb.StoredArtifact(
                    artifact=artifact_name(item.artifact), size_bytes=item.size_bytes, ready=item.ready
                )
                for item in await self._copies.stored()
            ],
        )
