"""How fast a placement should be, and where the time goes."""

from collections.abc import Iterator

from moorage.common.v1.placement_pb2 import PredictedPerformance, PredictedStage
from moorage.scheduler.v1.scheduler_service_pb2 import Prediction
from moorage_cli.views.explanation import lie_of
from moorage_cli.views.page import Block, Line, Page, Rows, Tone
from moorage_cli.views.words import short, size, tokens_per_s


def prediction_page(subject: str, prediction: Prediction) -> Page:
    """Returns everything that there is to say of how fast an instance should be.

    Args:
        subject: Whom it is about, as its heading.
        prediction: What was predicted, and measured.
    """
    return [*_blocks(subject, prediction), Line()]


def _blocks(subject: str, prediction: Prediction) -> Iterator[Block]:
    yield Line(subject, Tone.STRONG)
    yield Line(f"  {lie_of(prediction.placement)}")
    yield Line()
    if not prediction.placement.HasField("predicted"):
        yield Line("  Nothing is known of how fast some card of it is.", Tone.QUIET)
        return
    predicted = prediction.placement.predicted
    for line in _speed_lines(predicted, prediction.measured_decode_tokens_per_s):
        yield Line(f"  {line}")
    if predicted.stages:
        yield Line()
        yield stage_rows(predicted)


def _speed_lines(predicted: PredictedPerformance, measured: float) -> Iterator[str]:
    line = f"answers  {tokens_per_s(predicted.decode_tokens_per_s)}, one request alone"
    if measured:
        share = measured / predicted.decode_tokens_per_s if predicted.decode_tokens_per_s else 0.0
        line += f"; measured: {tokens_per_s(measured)}" + (f", {share:.0%} of that" if share else "")
    yield line
    if predicted.prefill_tokens_per_s:
        yield f"reads    {tokens_per_s(predicted.prefill_tokens_per_s)} of a prompt"
    if predicted.calibration not in (0.0, 1.0):
        yield f"learned  from measurements of the same engine and cards: times {predicted.calibration:.2f}"


def stage_rows(predicted: PredictedPerformance) -> Rows:
    """Returns where the time of one token goes, one row per memory that is read and per way between workers."""
    whole = sum(stage.seconds for stage in predicted.stages)
    return Rows(
        ("STAGE", "BYTES A TOKEN", "AT", "TAKES", "SHARE"),
        tuple(
            (
                _stage(stage),
                size(stage.active_bytes),
                f"{size(round(stage.bytes_per_s))}/s",
                _milliseconds(stage.seconds),
                f"{stage.seconds / whole:.0%}" if whole else "",
            )
            for stage in predicted.stages
        ),
        indent=2,
    )


def _stage(stage: PredictedStage) -> str:
    worker = short(stage.worker)
    return f"{worker}/{stage.pool}" if stage.pool else f"to {worker} and back"


def _milliseconds(seconds: float) -> str:
    """Returns e.g. "0.041 ms", "12 ms", "1300 ms"."""
    return f"{seconds * 1000:.2g} ms" if seconds < 0.01 else f"{seconds * 1000:.0f} ms"
