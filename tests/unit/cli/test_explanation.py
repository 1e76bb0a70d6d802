from moorage.common.v1.placement_pb2 import (
    Explanation,
    MemoryClaim,
    MemoryClaimPart,
    MemoryPart,
    Placement,
    PlacementReason,
    ReasonCount,
    Rejection,
    ScorePart,
    Verdict,
    WorkerExplanation,
)
from moorage_cli.views.explanation import claim_rows, count_line, headline, worker_rows

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
    assert count_line(EXPLANATION) == "3 workers considered; rejected: 2 insufficient ram"
    assert count_line(Explanation(workers_considered=1)) == "1 worker considered"


def test_each_worker_has_its_score_or_its_rejections() -> None:
    assert worker_rows(EXPLANATION).cells == (
        ("a", "rank 1, score 0.75", "", "", "spread 0.50*1.5"),
        ("b", "insufficient ram", "2.00 KiB", "1.00 KiB", "Stop something."),
        ("b", "os unsupported", "LINUX", "DARWIN", ""),
    )


def test_what_is_held_and_for_what() -> None:
    claim = MemoryClaim(
        pool="ram",
        size_bytes=3072,
        parts=[
            MemoryClaimPart(part=MemoryPart.MEMORY_PART_WEIGHTS, size_bytes=2048),
            MemoryClaimPart(part=MemoryPart.MEMORY_PART_KV_CACHE, size_bytes=1024),
        ],
    )
    assert claim_rows(Placement(worker="workers/w", claims=[claim])).cells == (
        ("w/ram", "3.00 KiB", "weights 2.00 KiB, kv cache 1.00 KiB"),
    )
