"""What a prediction is made from, from protos, and what came of it, as one."""

from moorage.common.v1 import placement_pb2 as pb
from moorage.registry.v1 import worker_pb2
from moorage_scheduler.prediction.hardware import WorkerHardware
from moorage_scheduler.prediction.outcome import Prediction, Stage


def hardware_from_proto(worker: worker_pb2.Worker) -> WorkerHardware:
    """Returns what a worker has. Its memory's speed and its network's are not known: they are what is usual."""
    facts = worker.facts
    return WorkerHardware(
        products={card.uuid: card.product for card in facts.accelerators},
        unified_memory=facts.unified_memory and bool(facts.accelerators),
        cpu=facts.cpu_product,
        cpu_cores=facts.cpu_cores,
    )


def performance_to_proto(prediction: Prediction) -> pb.PredictedPerformance:
    """Returns how fast a placement should be."""
    return pb.PredictedPerformance(
        decode_tokens_per_s=prediction.decode_tokens_per_s,
        prefill_tokens_per_s=prediction.prefill_tokens_per_s,
        stages=map(_stage, prediction.stages),
        calibration=prediction.calibration,
    )


def _stage(stage: Stage) -> pb.PredictedStage:
    return pb.PredictedStage(
        worker=stage.worker,
        pool=stage.pool,
        active_bytes=round(stage.active_bytes),
        bytes_per_s=stage.bytes_per_s,
        seconds=stage.seconds,
    )
