"""The explanation of a placement as text: the answer, how many workers each rule rejected, then the closest workers."""

from collections.abc import Iterable, Iterator, Sequence

from moorage.common.v1.placement_pb2 import (
    Explanation,
    MemoryPart,
    Placement,
    PlacementMode,
    PlacementReason,
    Rejection,
    Verdict,
    WorkerExplanation,
)
from moorage_cli.views.page import Block, Line, Page, Rows, Tone
from moorage_cli.views.words import plural, short, size, state, tokens_per_s

_ACRONYMS = {"ram": "RAM", "gpu": "GPU", "gpus": "GPUs", "os": "OS", "kv": "KV", "cpu": "CPU", "vllm": "vLLM"}
_INSTANCES_NAMED = 3


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
    if placement.worker:
        yield Line()
        yield Line(f"  {lie_of(placement)}")
    tables = (
        claim_rows(placement),
        own_rows(explanation),
        feasible_rows(explanation),
        rejected_rows(explanation),
    )
    for rows in tables:
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


def lie_of(placement: Placement) -> str:
    """Returns how a model lies on the fleet, in a line: "partly, on gpu-1, 50 of 62 layers on GPUs"."""
    parts = [mode_words(placement.mode), f"on {short(placement.worker)}"]
    if placement.subordinates:
        parts[-1] += f" with {', '.join(map(short, placement.subordinates))}"
    if placement.HasField("parallel"):
        cut = placement.parallel
        parts.append(f"tensor {cut.tensor} * pipeline {cut.pipeline} * data {cut.data}")
    elif placement.total_layers:
        parts.append(f"{placement.gpu_layers} of {placement.total_layers} layers on GPUs")
    if placement.HasField("predicted"):
        parts.append(f"{tokens_per_s(placement.predicted.decode_tokens_per_s)} predicted")
    return ", ".join(part for part in parts if part)


def mode_words(mode: PlacementMode.ValueType) -> str:
    """Returns how a model lies on the fleet; empty when that is not known."""
    return _words(state(PlacementMode.Name(mode), "PLACEMENT_MODE_")) if mode else ""


def claim_rows(placement: Placement) -> Rows:
    """Returns what is held, one row per memory pool."""
    cells = [
        (
            f"{short(claim.worker or placement.worker)}/{claim.pool}",
            size(claim.size_bytes),
            str(claim.layers or ""),
            ", ".join(f"{part_words(part.part)} {size(part.size_bytes)}" for part in claim.parts),
        )
        for claim in placement.claims
    ]
    return _rows(("MEMORY POOL", "HELD", "LAYERS", "FOR"), cells, optional=("LAYERS",))


def part_words(part: MemoryPart.ValueType) -> str:
    """Returns what a part of a claim pays for, "KV cache"."""
    return _words(state(MemoryPart.Name(part), "MEMORY_PART_"))


def own_rows(explanation: Explanation) -> Rows:
    """Returns what stands in the model's own way, whatever workers have."""
    cells = [_rejection(rejection) for rejection in explanation.rejections]
    return _rows(("IN ITS OWN WAY", "NEEDED", "AVAILABLE", "HELD BY", "REMEDY"), cells, optional=("HELD BY",))


def feasible_rows(explanation: Explanation) -> Rows:
    """Returns the workers that could take it, best first, and what their scores are made of."""
    cells = [
        (
            short(worker.worker),
            str(worker.rank),
            f"{worker.score:.2f}",
            mode_words(worker.mode),
            ", ".join(map(short, worker.subordinates)),
            str(worker.gpu_layers or ""),
            " + ".join(f"{part.scorer} {part.value:.2f} * {part.weight:g}" for part in worker.score_parts),
        )
        for worker in explanation.workers
        if not worker.rejections
    ]
    columns = ("WORKER", "RANK", "SCORE", "MODE", "WITH", "ON GPUS", "MADE OF")
    return _rows(columns, cells, optional=("MODE", "WITH", "ON GPUS"))


def rejected_rows(explanation: Explanation) -> Rows:
    """Returns the workers that could not, closest first: each rule that rejected one, and what would help."""
    cells = [row for worker in explanation.workers for row in _rejections(worker)]
    columns = ("CLOSEST", "RULE", "NEEDED", "AVAILABLE", "HELD BY", "REMEDY")
    return _rows(columns, cells, optional=("HELD BY",))


def _rows(columns: Sequence[str], cells: Sequence[tuple[str, ...]], *, optional: Iterable[str]) -> Rows:
    """Returns a table without those of its columns that may be left out and in which nothing stands."""
    kept = [
        position
        for position, column in enumerate(columns)
        if column not in optional or any(row[position] for row in cells)
    ]
    return Rows(
        tuple(columns[position] for position in kept),
        tuple(tuple(row[position] for position in kept) for row in cells),
        indent=2,
    )


def _rejections(worker: WorkerExplanation) -> Iterator[tuple[str, ...]]:
    for position, rejection in enumerate(worker.rejections):
        yield (short(worker.worker) if position == 0 else "", *_rejection(rejection))


def _rejection(rejection: Rejection) -> tuple[str, ...]:
    return (
        _reason(rejection.reason),
        _amount(rejection, rejection.needed),
        _amount(rejection, rejection.available),
        _holders(rejection.instances),
        rejection.remedy,
    )


def _holders(instances: Sequence[str]) -> str:
    named = ", ".join(map(short, instances[:_INSTANCES_NAMED]))
    left = len(instances) - _INSTANCES_NAMED
    return f"{named} and {left} more" if left > 0 else named


def _reason(reason: PlacementReason.ValueType) -> str:
    return _words(state(PlacementReason.Name(reason), "PLACEMENT_REASON_"))


def _words(name: str) -> str:
    return " ".join(_ACRONYMS.get(part, part) for part in name.lower().split("_"))


def _amount(rejection: Rejection, amount: str) -> str:
    if not amount.isdigit():
        return amount
    return size(int(amount)) if rejection.unit == "bytes" else f"{amount} {rejection.unit}".strip()
