"""The scheduler's API."""

from collections.abc import AsyncIterator

from google.rpc import status_pb2

from moorage.common.v1 import placement_pb2
from moorage.scheduler.v1 import scheduler_service_pb2 as pb
from moorage.scheduler.v1 import simulation_pb2
from moorage.scheduler.v1.scheduler_service_pb2_grpc import SchedulerServiceServicer
from moorage_common.core.errors import MoorageError
from moorage_common.rpc.server import ServicerContext
from moorage_common.rpc.status import to_status
from moorage_scheduler.convert.outcomes import explanation_to_proto, placement_to_proto
from moorage_scheduler.core.request import Outcome, Request, tenant_of
from moorage_scheduler.core.snapshot import Snapshot
from moorage_scheduler.forecasts import Forecasts
from moorage_scheduler.predictor import Predict
from moorage_scheduler.queries import Queries
from moorage_scheduler.simulation import Simulations


class SchedulerServicer(SchedulerServiceServicer):
    """Answers from `queries`, of fleets on paper from `simulations`, of speeds from `forecasts`."""

    def __init__(self, queries: Queries, simulations: Simulations, predict: Predict) -> None:
        self._queries = queries
        self._simulations = simulations
        self._predict = predict
        self._forecasts = Forecasts(queries=queries, simulations=simulations, predict=predict)

    async def EvaluatePlacement(
        self,
        request: pb.EvaluatePlacementRequest,
        context: ServicerContext,
    ) -> pb.EvaluatePlacementResponse:
        """Where one more instance of a model would go."""
        wanted, snapshot = await self._queries.request(request), self._queries.snapshot()
        outcome = self._queries.place(wanted, request.max_workers, snapshot)
        placement, explanation = self._told(wanted, outcome, snapshot)
        return pb.EvaluatePlacementResponse(placement=placement, explanation=explanation)

    async def EvaluatePlacements(
        self,
        request_iterator: AsyncIterator[pb.EvaluatePlacementsRequest],
        context: ServicerContext,
    ) -> AsyncIterator[pb.EvaluatePlacementsResponse]:
        """Where many would go, on one moment of the fleet."""
        snapshot, index = self._queries.snapshot(), 0
        async for asked in request_iterator:
            try:
                request = await self._queries.request(asked.evaluation)
                outcome = self._queries.place(request, asked.evaluation.max_workers, snapshot)
            except MoorageError as error:
                yield pb.EvaluatePlacementsResponse(index=index, status=to_status(error))
            else:
                placement, explanation = self._told(request, outcome, snapshot)
                yield pb.EvaluatePlacementsResponse(
                    index=index, status=status_pb2.Status(), placement=placement, explanation=explanation
                )
                if asked.commit and outcome.placement:
                    tenant = tenant_of(request.model, outcome.placement)
                    snapshot = snapshot.with_tenant(f"{request.model}/instances/evaluated-{index}", tenant)
            index += 1

    async def SimulatePlacement(
        self,
        request: simulation_pb2.SimulatePlacementRequest,
        context: ServicerContext,
    ) -> simulation_pb2.SimulatePlacementResponse:
        """Where models would go on a fleet that the request describes."""
        return await self._simulations.simulate(request)

    async def PredictPerformance(
        self,
        request: pb.PredictPerformanceRequest,
        context: ServicerContext,
    ) -> pb.PredictPerformanceResponse:
        """How fast something is or would be."""
        return await self._forecasts.answer(request)

    async def ExplainInstance(
        self,
        request: pb.ExplainInstanceRequest,
        context: ServicerContext,
    ) -> pb.ExplainInstanceResponse:
        """Why an instance is where it is, or nowhere."""
        placement, explanation = await self._queries.explain(
            request.name, explain_workers=request.max_workers
        )
        return pb.ExplainInstanceResponse(placement=placement, explanation=explanation)

    def _told(
        self, request: Request, outcome: Outcome, snapshot: Snapshot
    ) -> tuple[placement_pb2.Placement | None, placement_pb2.Explanation]:
        explanation, placed = explanation_to_proto(outcome.explanation), outcome.placement
        if placed is None:
            return None, explanation
        return placement_to_proto(placed, self._predict(snapshot, request, placed)), explanation
