"""Placements and explanations, as protos."""

from collections.abc import Iterable

from moorage.common.v1 import placement_pb2 as pb
from moorage_common.core.placement import PlacementReason, Verdict
from moorage_common.rpc.enums import ENGINE_KIND, MEMORY_PART, PLACEMENT_MODE, PLACEMENT_REASON, VERDICT
from moorage_scheduler.core.explanation import Explanation, Gist, Rejection, WorkerExplanation, gist
from moorage_scheduler.core.parallel import ParallelShape
from moorage_scheduler.core.request import Claim, Placement
from moorage_scheduler.prediction.outcome import Prediction


def placement_to_proto(placement: Placement, predicted: Prediction | None = None) -> pb.Placement:
    """Returns where an instance goes, and how fast it should be there, if that is known."""
    return pb.Placement(
        worker=placement.worker,
        subordinates=placement.subordinates,
        claims=map(_claim, placement.claims),
        engine=ENGINE_KIND.to_proto(placement.engine),
        engine_version=placement.engine_version,
        mode=PLACEMENT_MODE.to_proto(placement.mode),
        gpu_layers=placement.gpu_layers,
        total_layers=placement.total_layers,
        context_length=placement.context_length,
        score=placement.score,
        parallel=_shape(placement.parallel) if placement.parallel else None,
        predicted=prediction_to_proto(predicted) if predicted else None,
    )


def prediction_to_proto(prediction: Prediction) -> pb.PredictedPerformance:
    """Returns how fast a placement should be."""
    return pb.PredictedPerformance(
        decode_tokens_per_s=prediction.decode_tokens_per_s,
        prefill_tokens_per_s=prediction.prefill_tokens_per_s,
        stages=[
            pb.PredictedStage(
                worker=stage.worker,
                pool=stage.pool,
                active_bytes=round(stage.active_bytes),
                bytes_per_s=stage.bytes_per_s,
                seconds=stage.seconds,
            )
            for stage in prediction.stages
        ],
        calibration=prediction.calibration,
    )


def explanation_to_proto(explanation: Explanation) -> pb.Explanation:
    """Returns why."""
    return pb.Explanation(
        verdict=VERDICT.to_proto(explanation.verdict),
        summary=explanation.summary,
        workers_considered=explanation.workers_considered,
        reason_counts=[
            pb.ReasonCount(reason=PLACEMENT_REASON.to_proto(item.reason), worker_count=item.worker_count)
            for item in explanation.reason_counts
        ],
        workers=map(_worker, explanation.workers),
        rejections=map(_rejection, explanation.rejections),
    )


def gist_of_proto(explanation: pb.Explanation) -> Gist:
    """Returns the gist of an explanation that was recorded earlier."""
    counts: Iterable[tuple[PlacementReason, int]] = (
        (PLACEMENT_REASON.from_proto(item.reason), item.worker_count) for item in explanation.reason_counts
    )
    verdict: Verdict | None = VERDICT.from_proto(explanation.verdict) if explanation.verdict else None
    return gist(verdict, explanation.workers_considered, counts)


def _shape(shape: ParallelShape) -> pb.ParallelShape:
    return pb.ParallelShape(tensor=shape.tensor, pipeline=shape.pipeline, data=shape.data)


def _claim(claim: Claim) -> pb.MemoryClaim:
    return pb.MemoryClaim(
        worker=claim.worker,
        pool=claim.pool,
        size_bytes=claim.size_bytes,
        parts=[
            pb.MemoryClaimPart(part=MEMORY_PART.to_proto(part), size_bytes=size)
            for part, size in claim.parts.items()
        ],
        layers=claim.layers,
    )


def _worker(worker: WorkerExplanation) -> pb.WorkerExplanation:
    return pb.WorkerExplanation(
        worker=worker.worker,
        rejections=map(_rejection, worker.rejections),
        rank=worker.rank,
        score=worker.score,
        score_parts=[
            pb.ScorePart(scorer=part.scorer, value=part.value, weight=part.weight)
            for part in worker.score_parts
        ],
        mode=PLACEMENT_MODE.to_proto(worker.mode) if worker.mode else pb.PLACEMENT_MODE_UNSPECIFIED,
        subordinates=worker.subordinates,
        gpu_layers=worker.gpu_layers,
    )


def _rejection(rejection: Rejection) -> pb.Rejection:
    return pb.Rejection(
        reason=PLACEMENT_REASON.to_proto(rejection.reason),
        needed=rejection.needed,
        available=rejection.available,
        unit=rejection.unit,
        remedy=rejection.remedy,
        instances=rejection.instances,
    )
