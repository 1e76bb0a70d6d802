"""Answers to whoever asks how fast something is or would be."""

from moorage.scheduler.v1 import scheduler_service_pb2 as pb
from moorage.scheduler.v1 import simulation_pb2
from moorage_common.core.errors import ErrorReason, FailedPrecondition
from moorage_scheduler.convert.outcomes import placement_to_proto
from moorage_scheduler.convert.placements import placement_from_proto
from moorage_scheduler.core.request import Outcome, Request
from moorage_scheduler.core.snapshot import Snapshot
from moorage_scheduler.predictor import Predict
from moorage_scheduler.queries import Queries
from moorage_scheduler.simulation import Simulations


class Forecasts:
    """Predicts for instances, for models that are not placed yet, and for fleets on paper."""

    def __init__(self, *, queries: Queries, simulations: Simulations, predict: Predict) -> None:
        self._queries = queries
        self._simulations = simulations
        self._predict = predict

    async def answer(self, asked: pb.PredictPerformanceRequest) -> pb.PredictPerformanceResponse:
        """Returns one prediction per placement.

        Raises:
            NotFound: No such model, artifact or instance.
            FailedPrecondition: It is nowhere, or would go nowhere (NO_PLACEMENT).
            InvalidArgument: Something is wrong with the simulation; all of it is listed.
        """
        match asked.WhichOneof("subject"):
            case "instance":
                found = [await self._of_instance(asked.instance)]
            case "evaluation":
                found = [await self._of_evaluation(asked.evaluation)]
            case _:
                found = await self._of_simulation(asked.simulation)
        return pb.PredictPerformanceResponse(predictions=found)

    async def _of_instance(self, name: str) -> pb.Prediction:
        instance, request = await self._queries.bound(name)
        recorded = placement_from_proto(instance.placement)
        if recorded is None:
            raise FailedPrecondition(
                f"{name} was placed by a scheduler that did not say how",
                reason=ErrorReason.NO_PLACEMENT,
                remedy="Restart its model: stop it, then start it.",
            )
        predicted = self._predict(self._queries.snapshot(), request, recorded)
        return pb.Prediction(
            placement=placement_to_proto(recorded, predicted),
            measured_decode_tokens_per_s=instance.performance.decode_tokens_per_s,
        )

    async def _of_evaluation(self, asked: pb.EvaluatePlacementRequest) -> pb.Prediction:
        request, snapshot = await self._queries.request(asked), self._queries.snapshot()
        return self._placed(request, self._queries.place(request, asked.max_workers, snapshot), snapshot)

    async def _of_simulation(self, asked: simulation_pb2.SimulatePlacementRequest) -> list[pb.Prediction]:
        found = []
        async for answer in self._simulations.answers(asked):
            if answer.error is not None:
                raise answer.error
            if answer.request and answer.outcome and answer.snapshot:
                found.append(self._placed(answer.request, answer.outcome, answer.snapshot))
        return found

    def _placed(self, request: Request, outcome: Outcome, snapshot: Snapshot) -> pb.Prediction:
        if outcome.placement is None:
            raise FailedPrecondition(
                f"{request.model}: {outcome.explanation.summary}",
                reason=ErrorReason.NO_PLACEMENT,
                metadata={"model": request.model},
            )
        predicted = self._predict(snapshot, request, outcome.placement)
        return pb.Prediction(placement=placement_to_proto(outcome.placement, predicted))
