import io

from google.rpc.status_pb2 import Status
from rich.console import Console

from moorage.common.v1.placement_pb2 import (
    Explanation,
    MemoryClaim,
    MemoryClaimPart,
    MemoryPart,
    ParallelShape,
    Placement,
    PlacementMode,
    PlacementReason,
    PredictedPerformance,
    ReasonCount,
    Rejection,
    Verdict,
    WorkerExplanation,
)
from moorage.scheduler.v1.simulation_pb2 import SimulatedPlacement
from moorage_cli.console import print_page
from moorage_cli.views.simulation import simulation_page

GIB = 2**30


def claim(worker: str, pool: str, weights: int, cache: int = 0) -> MemoryClaim:
    parts = {MemoryPart.MEMORY_PART_WEIGHTS: weights, MemoryPart.MEMORY_PART_KV_CACHE: cache}
    return MemoryClaim(
        worker=worker,
        pool=pool,
        size_bytes=weights + cache,
        parts=[MemoryClaimPart(part=part, size_bytes=held) for part, held in parts.items() if held],
    )


SPREAD = SimulatedPlacement(
    model="models/deepseek",
    placement=Placement(
        worker="workers/w1",
        subordinates=["workers/w2"],
        mode=PlacementMode.PLACEMENT_MODE_DISTRIBUTED_PARTLY,
        gpu_layers=40,
        total_layers=62,
        score=64.5,
        predicted=PredictedPerformance(decode_tokens_per_s=3.52),
        claims=[
            claim("workers/w1", "ram", 70 * GIB),
            claim("workers/w2", "cuda-0", 40 * GIB, GIB),
            claim("workers/w1", "cuda-0", 40 * GIB, GIB),
            claim("workers/w1", "cuda-1", 40 * GIB, GIB),
        ],
    ),
)
CUT = SimulatedPlacement(
    model="models/llama",
    replica=1,
    placement=Placement(
        worker="workers/h100",
        mode=PlacementMode.PLACEMENT_MODE_SEVERAL_GPUS,
        score=80,
        parallel=ParallelShape(tensor=4, pipeline=1, data=2),
        predicted=PredictedPerformance(decode_tokens_per_s=118.4),
        claims=[claim("", f"cuda-{index}", 72 * GIB) for index in range(8)],
    ),
)


def refused(replica: int, model: str = "models/big") -> SimulatedPlacement:
    return SimulatedPlacement(
        model=model,
        replica=replica,
        explanation=Explanation(
            verdict=Verdict.VERDICT_NEVER_FITS,
            summary="no worker has 9 GiB",
            workers_considered=2,
            reason_counts=[
                ReasonCount(reason=PlacementReason.PLACEMENT_REASON_INSUFFICIENT_RAM, worker_count=2)
            ],
            workers=[
                WorkerExplanation(
                    worker="workers/b",
                    rejections=[
                        Rejection(
                            reason=PlacementReason.PLACEMENT_REASON_INSUFFICIENT_RAM,
                            needed=str(9 * GIB),
                            available=str(4 * GIB),
                            unit="bytes",
                            remedy="Add RAM.",
                        )
                    ],
                )
            ],
        ),
    )


def printed(*placements: SimulatedPlacement) -> list[str]:
    written = io.StringIO()
    print_page(Console(file=written, width=200), simulation_page(placements))
    return [line.rstrip() for line in written.getvalue().splitlines()]


def test_what_is_placed_is_a_row_each() -> None:
    assert printed(SPREAD, CUT) == [
        "2 of 2 replicas placed, on 3 workers",
        "",
        "REPLICA     PRIMARY  MODE                   GPUS            LAYERS  TOKENS/S  SCORE  MEMORY",
        (
            "deepseek#0  w1       distributed partly     cuda-0, cuda-1  40/62   3.5       64.50"
            "  193 GiB: weights 190 GiB, KV cache 3.00 GiB"
        ),
        "                                            w2: cuda-0",
        (
            "llama#1     h100     several GPUs, TP4 DP2  cuda-0..7               118       80.00"
            "  576 GiB: weights 576 GiB"
        ),
    ]


def test_what_is_not_placed_says_why_once_for_all_that_are_alike() -> None:
    missing = SimulatedPlacement(model="models/x", status=Status(code=5, message="hf:a/b has no file c.gguf"))
    assert printed(SPREAD, refused(0), refused(1), refused(2, "models/other"), missing)[0] == (
        "1 of 5 replicas placed, on 2 workers"
    )
    assert printed(refused(0), refused(1), missing) == [
        "0 of 3 replicas placed",
        "",
        "big#0 to #1, 2 replicas",
        "  NEVER FITS: no worker has 9 GiB",
        "",
        "  2 workers considered",
        "    2  insufficient RAM",
        "",
        "  CLOSEST  RULE              NEEDED    AVAILABLE  REMEDY",
        "  b        insufficient RAM  9.00 GiB  4.00 GiB   Add RAM.",
        "",
        "x#0",
        "  FAILED: hf:a/b has no file c.gguf",
    ]


def test_cards_of_a_real_fleet_are_shown_by_how_their_uuids_begin() -> None:
    uuids = [f"GPU-5e1f{number}000-aaaa-bbbb" for number in range(5)]
    few = SimulatedPlacement(
        model="models/m", placement=Placement(worker="workers/a", claims=[claim("", uuids[0], 1)])
    )
    many = SimulatedPlacement(
        model="models/m",
        replica=1,
        placement=Placement(worker="workers/a", claims=[claim("", uuid, 1) for uuid in uuids]),
    )
    lines = printed(few, many)
    assert "GPU-5e1f0000…" in lines[3]
    assert "5 GPUs" in lines[4]
