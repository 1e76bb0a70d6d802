import io

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
    ScorePart,
    Verdict,
    WorkerExplanation,
)
from moorage_cli.console import print_page
from moorage_cli.views.explanation import count_lines, explanation_page, headline, lie_of

EXPLANATION = Explanation(
    verdict=Verdict.VERDICT_NEVER_FITS,
    summary="no worker has 9 GiB",
    workers_considered=3,
    reason_counts=[ReasonCount(reason=PlacementReason.PLACEMENT_REASON_INSUFFICIENT_RAM, worker_count=2)],
    workers=[
        WorkerExplanation(
            worker="workers/a",
            rank=1,
            score=0.75,
            score_parts=[ScorePart(scorer="spread", value=0.5, weight=1.5)],
        ),
        WorkerExplanation(
            worker="workers/b",
            rejections=[
                Rejection(
                    reason=PlacementReason.PLACEMENT_REASON_INSUFFICIENT_RAM,
                    needed="2048",
                    available="1024",
                    unit="bytes",
                    remedy="Stop something.",
                ),
                Rejection(
                    reason=PlacementReason.PLACEMENT_REASON_OS_UNSUPPORTED, needed="LINUX", available="DARWIN"
                ),
            ],
        ),
    ],
)


def test_the_answer_in_a_line() -> None:
    assert headline(EXPLANATION) == "NEVER FITS: no worker has 9 GiB"
    assert headline(Explanation(verdict=Verdict.VERDICT_PLACED)) == "PLACED"
    assert (
        headline(Explanation(summary="models/a/instances/b is STOPPED")) == "models/a/instances/b is STOPPED"
    )


def test_how_many_were_rejected_for_what() -> None:
    assert count_lines(EXPLANATION) == ["3 workers considered", "  2  insufficient RAM", "  1  could take it"]
    assert count_lines(Explanation(workers_considered=1)) == ["1 worker considered", "  1  could take it"]
    crowd = Explanation(
        workers_considered=112,
        reason_counts=[
            ReasonCount(reason=PlacementReason.PLACEMENT_REASON_INSUFFICIENT_GPU_MEMORY, worker_count=104),
            ReasonCount(reason=PlacementReason.PLACEMENT_REASON_OS_UNSUPPORTED, worker_count=8),
        ],
    )
    assert count_lines(crowd) == [
        "112 workers considered",
        "  104  insufficient GPU memory",
        "    8  OS unsupported",
    ]


CLAIM = MemoryClaim(
    pool="ram",
    size_bytes=3072,
    parts=[
        MemoryClaimPart(part=MemoryPart.MEMORY_PART_WEIGHTS, size_bytes=2048),
        MemoryClaimPart(part=MemoryPart.MEMORY_PART_KV_CACHE, size_bytes=1024),
    ],
)


def printed(placement: Placement, explanation: Explanation, width: int = 100) -> list[str]:
    written = io.StringIO()
    print_page(Console(file=written, width=width), explanation_page("models/m", placement, explanation))
    return [line.rstrip() for line in written.getvalue().splitlines()]


def test_what_fits_nowhere_reads_from_the_answer_to_the_closest_workers() -> None:
    assert printed(Placement(), EXPLANATION) == [
        "models/m",
        "  NEVER FITS: no worker has 9 GiB",
        "",
        "  3 workers considered",
        "    2  insufficient RAM",
        "    1  could take it",
        "",
        "  WORKER  RANK  SCORE  MADE OF",
        "  a       1     0.75   spread 0.50 * 1.5",
        "",
        "  CLOSEST  RULE              NEEDED    AVAILABLE  REMEDY",
        "  b        insufficient RAM  2.00 KiB  1.00 KiB   Stop something.",
        "           OS unsupported    LINUX     DARWIN",
        "",
    ]


def test_what_is_placed_says_what_it_holds_and_for_what() -> None:
    placed = Explanation(verdict=Verdict.VERDICT_PLACED, summary="workers/w", workers_considered=1)
    assert printed(Placement(worker="workers/w", claims=[CLAIM]), placed) == [
        "models/m",
        "  PLACED: workers/w",
        "",
        "  1 worker considered",
        "    1  could take it",
        "",
        "  on w",
        "",
        "  MEMORY POOL  HELD      FOR",
        "  w/ram        3.00 KiB  weights 2.00 KiB, KV cache 1.00 KiB",
        "",
    ]


def test_what_nobody_looked_for_a_place_for_counts_no_workers() -> None:
    assert printed(Placement(), Explanation(summary="models/m is STOPPED")) == [
        "models/m",
        "  models/m is STOPPED",
        "",
    ]


def test_what_lies_on_several_workers_says_how() -> None:
    placed = Explanation(
        verdict=Verdict.VERDICT_PLACED,
        summary="workers/w leads",
        workers_considered=2,
        workers=[
            WorkerExplanation(
                worker="workers/w",
                rank=1,
                score=64,
                mode=PlacementMode.PLACEMENT_MODE_DISTRIBUTED_PARTLY,
                subordinates=["workers/v"],
                gpu_layers=50,
                score_parts=[ScorePart(scorer="fit", value=0.8, weight=80)],
            ),
            WorkerExplanation(
                worker="workers/v", rank=2, score=64, mode=PlacementMode.PLACEMENT_MODE_PARTLY, gpu_layers=20
            ),
        ],
    )
    placement = Placement(
        worker="workers/w",
        subordinates=["workers/v"],
        mode=PlacementMode.PLACEMENT_MODE_DISTRIBUTED_PARTLY,
        gpu_layers=50,
        total_layers=62,
        predicted=PredictedPerformance(decode_tokens_per_s=3.52),
        claims=[
            MemoryClaim(worker="workers/w", pool="ram", size_bytes=4096),
            MemoryClaim(worker="workers/v", pool="cuda-0", size_bytes=3072, layers=50),
        ],
    )
    assert printed(placement, placed) == [
        "models/m",
        "  PLACED: workers/w leads",
        "",
        "  2 workers considered",
        "    2  could take it",
        "",
        "  distributed partly, on w with v, 50 of 62 layers on GPUs, 3.5 tokens/s predicted",
        "",
        "  MEMORY POOL  HELD      LAYERS  FOR",
        "  w/ram        4.00 KiB",
        "  v/cuda-0     3.00 KiB  50",
        "",
        "  WORKER  RANK  SCORE  MODE                WITH  ON GPUS  MADE OF",
        "  w       1     64.00  distributed partly  v     50       fit 0.80 * 80",
        "  v       2     64.00  partly                    20",
        "",
    ]


def test_how_vllm_cuts_a_model_is_said_in_place_of_layers() -> None:
    placement = Placement(
        worker="workers/w",
        mode=PlacementMode.PLACEMENT_MODE_SEVERAL_GPUS,
        parallel=ParallelShape(tensor=4, pipeline=2, data=1),
        total_layers=80,
    )
    assert lie_of(placement) == "several GPUs, on w, tensor 4 * pipeline 2 * data 1"


def test_what_stands_in_the_way_is_named() -> None:
    explanation = Explanation(
        verdict=Verdict.VERDICT_NOT_NOW,
        summary="not now",
        workers_considered=1,
        reason_counts=[
            ReasonCount(reason=PlacementReason.PLACEMENT_REASON_DISTRIBUTED_VLLM_EXCLUSIVE, worker_count=1)
        ],
        rejections=[
            Rejection(
                reason=PlacementReason.PLACEMENT_REASON_PARALLEL_SIZE_IMPOSSIBLE,
                needed="3",
                available="divisors of 32",
                unit="GPUs",
                remedy="Ask for 4.",
            )
        ],
        workers=[
            WorkerExplanation(
                worker="workers/b",
                rejections=[
                    Rejection(
                        reason=PlacementReason.PLACEMENT_REASON_DISTRIBUTED_VLLM_EXCLUSIVE,
                        remedy="Stop it.",
                        instances=[f"models/big/instances/{number}" for number in range(5)],
                    )
                ],
            )
        ],
    )
    assert printed(Placement(), explanation, width=140)[5:] == [
        "",
        "  IN ITS OWN WAY            NEEDED  AVAILABLE       REMEDY",
        "  parallel size impossible  3 GPUs  divisors of 32  Ask for 4.",
        "",
        "  CLOSEST  RULE                        NEEDED  AVAILABLE  HELD BY                         REMEDY",
        "  b        distributed vLLM exclusive                     big/0, big/1, big/2 and 2 more  Stop it.",
        "",
    ]
