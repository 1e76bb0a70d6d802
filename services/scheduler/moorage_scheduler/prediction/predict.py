"""How fast a placement should be.

    seconds per token = Σ over memories (bytes read / their effective bandwidth)
                      + Σ over links (round trips · latency + bytes sent / bandwidth)

Pure: what workers have, what the model needs and where it lies come in; nothing is looked up but the table of cards.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from moorage_common.core.states import EngineKind
from moorage_scheduler.core.request import Placement
from moorage_scheduler.prediction import llama_cpp, vllm
from moorage_scheduler.prediction.calibration import Calibration, Sample
from moorage_scheduler.prediction.hardware import WorkerHardware
from moorage_scheduler.prediction.legs import Leg, UnknownCard
from moorage_scheduler.prediction.outcome import Prediction, Stage
from moorage_scheduler.prediction.shape import ModelShape


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A placement of a model on workers."""

    placement: Placement
    shape: ModelShape
    workers: Mapping[str, WorkerHardware]
    """Those that take part, at least, by their names."""
    threads: int = 0
    """CPU threads that llama.cpp may use. 0: one per core."""


def predict(subject: Subject, calibration: Calibration | None = None, *, depth: int = 0) -> Prediction | None:
    """Predicts how fast one request alone is answered.

    Args:
        subject: The placement.
        calibration: What was learned from measurements.
        depth: Tokens of context before the one that is generated.

    Returns:
        None: the table does not know a card that takes part.
    """
    legs = _legs(subject, depth)
    if legs is None:
        return None
    engine = subject.placement.engine
    known = calibration or Calibration()
    stages = tuple(_stage(leg, known.factor(engine, leg.device)) for leg in legs)
    seconds = sum(stage.seconds for stage in stages)
    prefill_s = sum(leg.prefill_s for leg in legs)
    return Prediction(
        decode_tokens_per_s=1 / seconds,
        prefill_tokens_per_s=1 / prefill_s,
        stages=stages,
        calibration=sum(leg.decode_s for leg in legs) / seconds,
    )


def sample(subject: Subject, *, measured_tokens_per_s: float) -> Sample | None:
    """Returns what a running instance says about its devices. None: the table does not know one of its cards."""
    legs = _legs(subject, 0)
    if legs is None:
        return None
    seconds: dict[str, float] = defaultdict(float)
    for leg in legs:
        seconds[leg.device] += leg.decode_s
    return Sample(
        engine=subject.placement.engine,
        device_seconds=seconds,
        measured_tokens_per_s=measured_tokens_per_s,
    )


def _legs(subject: Subject, depth: int) -> Sequence[Leg] | None:
    placement, shape, workers = subject.placement, subject.shape, subject.workers
    try:
        if placement.engine is EngineKind.VLLM:
            return vllm.legs(placement, shape, workers, depth=depth)
        return llama_cpp.legs(placement, shape, workers, depth=depth, threads=subject.threads)
    except UnknownCard:
        return None


def _stage(leg: Leg, factor: float) -> Stage:
    seconds = leg.decode_s / factor
    return Stage(
        worker=leg.worker,
        pool=leg.pool,
        active_bytes=leg.read_bytes,
        bytes_per_s=leg.read_bytes / seconds if seconds else 0.0,
        seconds=seconds,
    )
