import io

from rich.console import Console

from moorage.common.v1.placement_pb2 import Placement, PlacementMode, PredictedPerformance, PredictedStage
from moorage.scheduler.v1.scheduler_service_pb2 import Prediction
from moorage_cli.console import print_page
from moorage_cli.views.prediction import prediction_page

PLACED = Placement(
    worker="workers/w1",
    subordinates=["workers/w2"],
    mode=PlacementMode.PLACEMENT_MODE_DISTRIBUTED,
    gpu_layers=62,
    total_layers=62,
)


def printed(prediction: Prediction) -> list[str]:
    written = io.StringIO()
    print_page(Console(file=written, width=100), prediction_page("models/m/instances/a", prediction))
    return [line.rstrip() for line in written.getvalue().splitlines()]


def test_what_is_predicted_says_where_the_time_goes_and_what_was_measured() -> None:
    placement = Placement()
    placement.CopyFrom(PLACED)
    placement.predicted.CopyFrom(
        PredictedPerformance(
            decode_tokens_per_s=40,
            prefill_tokens_per_s=1234,
            calibration=0.8,
            stages=[
                PredictedStage(
                    worker="workers/w1", pool="cuda-0", active_bytes=2**33, bytes_per_s=2.0**39, seconds=0.016
                ),
                PredictedStage(worker="workers/w2", active_bytes=2**14, bytes_per_s=2.0**30, seconds=0.004),
            ],
        )
    )
    assert printed(Prediction(placement=placement, measured_decode_tokens_per_s=30)) == [
        "models/m/instances/a",
        "  distributed, on w1 with w2, 62 of 62 layers on GPUs, 40 tokens/s predicted",
        "",
        "  answers  40 tokens/s, one request alone; measured: 30 tokens/s, 75% of that",
        "  reads    1234 tokens/s of a prompt",
        "  learned  from measurements of the same engine and cards: times 0.80",
        "",
        "  STAGE           BYTES A TOKEN  AT          TAKES  SHARE",
        "  w1/cuda-0       8.00 GiB       512 GiB/s   16 ms  80%",
        "  to w2 and back  16.0 KiB       1.00 GiB/s  4 ms   20%",
        "",
    ]


def test_cards_that_nobody_knows_are_said_to_be_so() -> None:
    assert printed(Prediction(placement=PLACED)) == [
        "models/m/instances/a",
        "  distributed, on w1 with w2, 62 of 62 layers on GPUs",
        "",
        "  Nothing is known of how fast some card of it is.",
        "",
    ]
