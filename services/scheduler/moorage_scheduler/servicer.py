"""The scheduler's API."""

from moorage.registry.v1.model_pb2 import Model
from moorage.scheduler.v1 import scheduler_service_pb2 as pb
from moorage.scheduler.v1.scheduler_service_pb2_grpc import SchedulerServiceServicer
from moorage_common.rpc.server import ServicerContext
from moorage_scheduler.convert.outcomes import explanation_to_proto, placement_to_proto
from moorage_scheduler.queries import Queries

_DEFAULT_WORKERS = 20


class SchedulerServicer(SchedulerServiceServicer):
    """Answers from `queries`."""

    def __init__(self, queries: Queries) -> None:
        self._queries = queries

    async def EvaluatePlacement(
        self,
        request: pb.EvaluatePlacementRequest,
        context: ServicerContext,
    ) -> pb.EvaluatePlacementResponse:
        """Where one more instance of a model would go."""
        if request.WhichOneof("subject") == "model_name":
            model = await self._queries.model(request.model_name)
            artifact = model.resolution.artifact
        else:
            spec = request.model
            model = Model(engine=spec.engine, llama_cpp=spec.llama_cpp, placement=spec.placement)
            artifact = spec.artifact
        outcome = await self._queries.evaluate(
            model,
            artifact=artifact,
            workers=request.workers,
            explain_workers=request.max_workers or _DEFAULT_WORKERS,
        )
        return pb.EvaluatePlacementResponse(
            placement=placement_to_proto(outcome.placement) if outcome.placement else None,
            explanation=explanation_to_proto(outcome.explanation),
        )

    async def ExplainInstance(
        self,
        request: pb.ExplainInstanceRequest,
        context: ServicerContext,
    ) -> pb.ExplainInstanceResponse:
        """Why an instance is where it is, or nowhere."""
        placement, explanation = await self._queries.explain(
            request.name, explain_workers=request.max_workers or _DEFAULT_WORKERS
        )
        return pb.ExplainInstanceResponse(placement=placement, explanation=explanation)
