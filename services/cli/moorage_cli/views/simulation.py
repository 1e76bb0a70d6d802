"""What came of a simulation: where each replica would go, then what is not placed, and why."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from moorage.common.v1.placement_pb2 import MemoryPart, Placement
from moorage.scheduler.v1.simulation_pb2 import SimulatedPlacement
from moorage_cli.views.explanation import explanation_page, mode_words, part_words
from moorage_cli.views.page import Block, Line, Page, Rows, Tone
from moorage_cli.views.words import plural, short, size, tokens_per_s

_RAM = "ram"
_NUMBERED = re.compile(r"(?P<kind>[a-z]+)-(?P<index>\d+)")
_UUID_SHOWN = 12
_GPUS_NAMED = 4


def simulation_page(placements: Sequence[SimulatedPlacement]) -> Page:
    """Returns where every replica would go, or why it goes nowhere."""
    return list(_blocks(placements))


def _blocks(placements: Sequence[SimulatedPlacement]) -> Iterator[Block]:
    placed = [each for each in placements if each.HasField("placement")]
    yield Line(_outcome(placements, placed), Tone.STRONG)
    if placed:
        yield Line()
        yield placed_rows(placed)
    others = (each for each in placements if not each.HasField("placement"))
    for _, alike in groupby(others, key=_why):
        yield Line()
        yield from _unplaced(list(alike))


def _outcome(placements: Sequence[SimulatedPlacement], placed: Sequence[SimulatedPlacement]) -> str:
    workers = {worker for each in placed for worker in workers_of(each.placement)}
    on = f", on {plural(len(workers), 'worker')}" if workers else ""
    return f"{len(placed)} of {plural(len(placements), 'replica')} placed{on}"


def placed_rows(placed: Iterable[SimulatedPlacement]) -> Rows:
    """Returns one row per replica that has a place."""
    return Rows(
        ("REPLICA", "PRIMARY", "MODE", "GPUS", "LAYERS", "TOKENS/S", "SCORE", "MEMORY"),
        tuple(_cells(each) for each in placed),
    )


def replica_name(placement: SimulatedPlacement) -> str:
    """Returns e.g. "llama#0"."""
    return f"{short(placement.model)}#{placement.replica}"


def workers_of(placement: Placement) -> list[str]:
    """Returns the workers that take part, the primary first."""
    return [placement.worker, *placement.subordinates]


def _cells(each: SimulatedPlacement) -> tuple[str, ...]:
    placement = each.placement
    speed = placement.predicted.decode_tokens_per_s if placement.HasField("predicted") else 0.0
    return (
        replica_name(each),
        short(placement.worker),
        _mode(placement),
        _gpus(placement),
        f"{placement.gpu_layers}/{placement.total_layers}" if placement.total_layers else "",
        tokens_per_s(speed).removesuffix(" tokens/s") if speed else "",
        f"{placement.score:.2f}",
        _memory(placement),
    )


def _mode(placement: Placement) -> str:
    if not placement.HasField("parallel"):
        return mode_words(placement.mode)
    cut = placement.parallel
    shape = {"TP": cut.tensor, "PP": cut.pipeline, "DP": cut.data}
    told = " ".join(f"{name}{count}" for name, count in shape.items() if count > 1)
    return f"{mode_words(placement.mode)}, {told}" if told else mode_words(placement.mode)


def _gpus(placement: Placement) -> str:
    """The cards, a line per worker; those of the primary without its name."""
    pools: dict[str, list[str]] = {worker: [] for worker in workers_of(placement)}
    for claim in placement.claims:
        if claim.pool != _RAM:
            pools.setdefault(claim.worker or placement.worker, []).append(claim.pool)
    return "\n".join(
        _cards(cards) if worker == placement.worker else f"{short(worker)}: {_cards(cards)}"
        for worker, cards in pools.items()
        if cards
    )


def _cards(uuids: Sequence[str]) -> str:
    """Returns e.g. "cuda-0, cuda-1", "cuda-0..7" or "8 GPUs"."""
    found = [_NUMBERED.fullmatch(uuid) for uuid in uuids]
    numbers = [int(each["index"]) for each in found if each]
    kinds = {each["kind"] if each else "" for each in found}
    if (
        len(numbers) > 2
        and len(kinds) == 1
        and sorted(numbers) == list(range(min(numbers), max(numbers) + 1))
    ):
        return f"{kinds.pop()}-{min(numbers)}..{max(numbers)}"
    if len(uuids) > _GPUS_NAMED:
        return f"{len(uuids)} GPUs"
    return ", ".join(uuid if len(uuid) <= _UUID_SHOWN else f"{uuid[:_UUID_SHOWN]}…" for uuid in uuids)


def _memory(placement: Placement) -> str:
    """Returns e.g. "5.2 GiB: weights 4.1 GiB, KV cache 1.0 GiB": over all pools of all workers."""
    sums: dict[MemoryPart.ValueType, int] = defaultdict(int)
    for claim in placement.claims:
        for part in claim.parts:
            sums[part.part] += part.size_bytes
    told = ", ".join(f"{part_words(part)} {size(held)}" for part, held in sorted(sums.items()) if held)
    total = size(sum(claim.size_bytes for claim in placement.claims))
    return f"{total}: {told}" if told else total


def _why(each: SimulatedPlacement) -> tuple[object, ...]:
    """What replicas have in common that one page is enough for."""
    counts = tuple((count.reason, count.worker_count) for count in each.explanation.reason_counts)
    return (each.model, each.status.code, each.status.message, each.explanation.summary, counts)


def _unplaced(alike: Sequence[SimulatedPlacement]) -> Iterator[Block]:
    first, last = alike[0], alike[-1]
    subject = replica_name(first)
    if len(alike) > 1:
        subject += f" to #{last.replica}, {plural(len(alike), 'replica')}"
    if first.status.code:
        yield Line(subject, Tone.STRONG)
        yield Line(f"  FAILED: {first.status.message}", Tone.TROUBLE)
        return
    yield from explanation_page(subject, first.placement, first.explanation)[:-1]
