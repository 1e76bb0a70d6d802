"""The explanation of a placement as text."""

from collections.abc import Iterator

from moorage.common.v1.placement_pb2 import (
    Explanation,
    MemoryPart,
    Placement,
    PlacementReason,
    Rejection,
    Verdict,
    WorkerExplanation,
)
from moorage_cli.views.tables import Rows
from moorage_cli.views.words import plural, short, size, state


def headline(explanation: Explanation) -> str:
    """Returns the answer in one line."""
    if explanation.verdict == Verdict.VERDICT_UNSPECIFIED:
        return explanation.summary
    verdict = state(Verdict.Name(explanation.verdict), "VERDICT_").replace("_", " ")
    return f"{verdict}: {explanation.summary}" if explanation.summary else verdict


def count_line(explanation: Explanation) -> str:
    """Returns how many workers were looked at, and what how many of them were rejected for."""
    considered = f"{plural(explanation.workers_considered, 'worker')} considered"
    rejected = [f"{count.worker_count} {_reason(count.reason)}" for count in explanation.reason_counts]
    return f"{considered}; rejected: {', '.join(rejected)}" if rejected else considered


def claim_rows(placement: Placement) -> Rows:
    """Returns what is held, one row per memory pool."""
    cells = tuple(
        (
            f"{short(claim.worker or placement.worker)}/{claim.pool}",
            size(claim.size_bytes),
            ", ".join(
                f"{state(MemoryPart.Name(part.part), 'MEMORY_PART_').lower().replace('_', ' ')}"
                f" {size(part.size_bytes)}"
                for part in claim.parts
            ),
        )
        for claim in placement.claims
    )
    return Rows(("POOL", "HELD", "FOR"), cells)


def worker_rows(explanation: Explanation) -> Rows:
    """Returns what became of each worker: its score, or each rule that rejected it."""
    cells = [row for worker in explanation.workers for row in _worker_cells(worker)]
    return Rows(("WORKER", "ANSWER", "NEEDED", "AVAILABLE", "WHY, OR WHAT WOULD HELP"), tuple(cells))


def _worker_cells(worker: WorkerExplanation) -> Iterator[tuple[str, ...]]:
    name = short(worker.worker)
    if not worker.rejections:
        parts = " + ".join(f"{part.scorer} {part.value:.2f}*{part.weight:g}" for part in worker.score_parts)
        yield (name, f"rank {worker.rank}, score {worker.score:.2f}", "", "", parts)
    for rejection in worker.rejections:
        needed, available = _amount(rejection, rejection.needed), _amount(rejection, rejection.available)
        yield (name, _reason(rejection.reason), needed, available, rejection.remedy)


def _reason(reason: PlacementReason.ValueType) -> str:
    return state(PlacementReason.Name(reason), "PLACEMENT_REASON_").lower().replace("_", " ")


def _amount(rejection: Rejection, amount: str) -> str:
    return size(int(amount)) if rejection.unit == "bytes" and amount.isdigit() else amount
