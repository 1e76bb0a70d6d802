"""The explanation of a placement as text: the answer, how many workers each rule rejected, then the closest workers."""

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
from moorage_cli.views.page import Block, Line, Page, Rows, Tone
from moorage_cli.views.words import plural, short, size, state

_ACRONYMS = {"ram": "RAM", "gpu": "GPU", "os": "OS", "kv": "KV"}


def explanation_page(subject: str, placement: Placement, explanation: Explanation) -> Page:
    """Returns everything that there is to say of where an instance is, or why it is nowhere.

    Args:
        subject: Whom it is about, as its heading.
        placement: Where it is. Empty: nowhere.
        explanation: Why.
    """
    return [*_blocks(subject, placement, explanation), Line()]


def _blocks(subject: str, placement: Placement, explanation: Explanation) -> Iterator[Block]:
    yield Line(subject, Tone.STRONG)
    yield Line(f"  {headline(explanation)}")
    # An instance that is STOPPED, say, has no verdict: nobody looked for a place.
    if explanation.verdict != Verdict.VERDICT_UNSPECIFIED:
        yield Line()
        for line in count_lines(explanation):
            yield Line(f"  {line}")
    if placement.claims:
        yield Line()
        yield claim_rows(placement)
    for rows in (feasible_rows(explanation), rejected_rows(explanation)):
        if rows.cells:
            yield Line()
            yield rows


def headline(explanation: Explanation) -> str:
    """Returns the answer in one line."""
    if explanation.verdict == Verdict.VERDICT_UNSPECIFIED:
        return explanation.summary
    verdict = state(Verdict.Name(explanation.verdict), "VERDICT_").replace("_", " ")
    return f"{verdict}: {explanation.summary}" if explanation.summary else verdict


def count_lines(explanation: Explanation) -> list[str]:
    """Returns how many workers were looked at, then how many each rule rejected and how many it fits."""
    counts = [(count.worker_count, _reason(count.reason)) for count in explanation.reason_counts]
    feasible = explanation.workers_considered - sum(number for number, _ in counts)
    counts += [(feasible, "could take it")] if feasible > 0 else []
    width = max((len(str(number)) for number, _ in counts), default=0)
    considered = f"{plural(explanation.workers_considered, 'worker')} considered"
    return [considered, *(f"  {number:>{width}}  {rule}" for number, rule in counts)]


def claim_rows(placement: Placement) -> Rows:
    """Returns what is held, one row per memory pool."""
    cells = tuple(
        (
            f"{short(claim.worker or placement.worker)}/{claim.pool}",
            size(claim.size_bytes),
            ", ".join(
                f"{_words(state(MemoryPart.Name(part.part), 'MEMORY_PART_'))} {size(part.size_bytes)}"
                for part in claim.parts
            ),
        )
        for claim in placement.claims
    )
    return Rows(("MEMORY POOL", "HELD", "FOR"), cells, indent=2)


def feasible_rows(explanation: Explanation) -> Rows:
    """Returns the workers that could take it, best first, and what their scores are made of."""
    feasible = [worker for worker in explanation.workers if not worker.rejections]
    cells = tuple(
        (
            short(worker.worker),
            str(worker.rank),
            f"{worker.score:.2f}",
            " + ".join(f"{part.scorer} {part.value:.2f} * {part.weight:g}" for part in worker.score_parts),
        )
        for worker in feasible
    )
    return Rows(("WORKER", "RANK", "SCORE", "MADE OF"), cells, indent=2)


def rejected_rows(explanation: Explanation) -> Rows:
    """Returns the workers that could not, closest first: each rule that rejected one, and what would help."""
    cells = [row for worker in explanation.workers for row in _rejections(worker)]
    return Rows(("CLOSEST", "RULE", "NEEDED", "AVAILABLE", "REMEDY"), tuple(cells), indent=2)


def _rejections(worker: WorkerExplanation) -> Iterator[tuple[str, ...]]:
    for position, rejection in enumerate(worker.rejections):
        needed, available = _amount(rejection, rejection.needed), _amount(rejection, rejection.available)
        name = short(worker.worker) if position == 0 else ""
        yield (name, _reason(rejection.reason), needed, available, rejection.remedy)


def _reason(reason: PlacementReason.ValueType) -> str:
    return _words(state(PlacementReason.Name(reason), "PLACEMENT_REASON_"))


def _words(name: str) -> str:
    return " ".join(_ACRONYMS.get(part, part) for part in name.lower().split("_"))


def _amount(rejection: Rejection, amount: str) -> str:
    return size(int(amount)) if rejection.unit == "bytes" and amount.isdigit() else amount
