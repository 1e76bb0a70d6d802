"""Places one instance: filters → estimate → search → score → placement and explanation.

One code path for the loop, for dry runs and for explanations; automatic and by hand differ only in the
request's selection. Nothing here changes a snapshot, reads a clock or draws a random number.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from moorage_common.core.placement import PlacementReason, Verdict
from moorage_common.core.states import EngineKind
from moorage_common.modelfiles.gguf_facts import GgufFacts
from moorage_scheduler.core import summary
from moorage_scheduler.core.candidates import Candidates
from moorage_scheduler.core.choice import arrange
from moorage_scheduler.core.explanation import Explanation, ReasonCount, WorkerExplanation
from moorage_scheduler.core.memory import MemoryProfile
from moorage_scheduler.core.policy import ScoringPolicy
from moorage_scheduler.core.ranking import Ranking, rank, tie_order
from moorage_scheduler.core.request import LlamaCppOptions, Outcome, Placement, Request
from moorage_scheduler.core.search import Demand, Fits, Mode, Offer, offer, search
from moorage_scheduler.core.shortage import Shortages, memory_rejections, shortages
from moorage_scheduler.core.sieve import PASSED, Sieve, sift
from moorage_scheduler.core.snapshot import Snapshot
from moorage_scheduler.estimators.gguf import gguf_profile
from moorage_scheduler.filters.selection import unknown_workers

ESTIMATORS: Mapping[EngineKind, Callable[[GgufFacts, LlamaCppOptions], MemoryProfile]] = MappingProxyType(
    {EngineKind.LLAMA_CPP: gguf_profile}
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Run:
    """Everything that was found out about one request."""

    snapshot: Snapshot
    request: Request
    unknown: tuple[WorkerExplanation, ...]
    sieve: Sieve
    demand: Demand
    offer: Offer
    fits: Fits
    short: Shortages
    candidates: Candidates
    ranking: Ranking


def place(
    snapshot: Snapshot, request: Request, policy: ScoringPolicy, *, explain_workers: int = 20
) -> Outcome:
    """Finds the worker for one instance, and says why.

    Args:
        snapshot: The fleet; it is not changed.
        request: The instance.
        policy: What is preferred.
        explain_workers: How many workers the explanation lists at most.
    """
    run = _run(snapshot, request, policy)
    placement = _placement(run, policy)
    verdict = Verdict.PLACED if placement else _refusal(run)
    counts = _counts(run)
    workers = _workers(run, explain_workers)
    if placement:
        sentence = summary.placed(placement, len(run.ranking.order))
    else:
        closest = next((worker for worker in workers if worker.rejections), None)
        sentence = summary.not_placed(verdict, counts, closest)
    return Outcome(
        placement=placement,
        explanation=Explanation(
            verdict=verdict,
            summary=sentence,
            workers_considered=int(snapshot.columns.present.sum()) + len(run.unknown),
            reason_counts=counts,
            workers=workers,
        ),
    )


def _run(snapshot: Snapshot, request: Request, policy: ScoringPolicy) -> _Run:
    sieve = sift(snapshot, request)
    demand = Demand(ESTIMATORS[request.engine](request.facts, request.options), request.options)
    given = offer(snapshot, sieve.passed, request.engine)
    fits = search(demand, given)
    feasible = np.flatnonzero(fits.mode != Mode.NOWHERE)
    candidates = Candidates(
        snapshot=snapshot,
        request=request,
        demand=demand,
        offer=given.rows(feasible),
        fits=fits.rows(feasible),
    )
    return _Run(
        snapshot=snapshot,
        request=request,
        unknown=unknown_workers(snapshot, request),
        sieve=sieve,
        demand=demand,
        offer=given,
        fits=fits,
        short=shortages(demand, given, fits),
        candidates=candidates,
        ranking=rank(candidates, request.strategy or policy.strategy, policy),
    )


def _placement(run: _Run, policy: ScoringPolicy) -> Placement | None:
    if run.unknown or not len(run.ranking.order):
        return None
    row = _chosen_row(run)
    return arrange(
        run.candidates, row, run.request.strategy or policy.strategy, score=float(run.ranking.score[row])
    )


def _chosen_row(run: _Run) -> int:
    """The best; but where the artifact was fetched for this very instance, if it still fits there."""
    slot = run.snapshot.rows.slots.get(run.request.nominated_worker, -1)
    nominated = np.flatnonzero(run.candidates.offer.slots == slot)
    return int(nominated[0] if len(nominated) else run.ranking.order[0])


def _refusal(run: _Run) -> Verdict:
    """Tells a fleet that is too full, or partly away, from one that lacks such a worker altogether."""
    empty = offer(run.snapshot, run.sieve.suitable, run.request.engine, empty=True)
    fits = search(run.demand, empty)
    return Verdict.NOT_NOW if (fits.mode != Mode.NOWHERE).any() else Verdict.NEVER_FITS


def _counts(run: _Run) -> tuple[ReasonCount, ...]:
    reasons: Counter[PlacementReason] = Counter()
    present = run.snapshot.columns.present
    for position, rule in enumerate(run.sieve.filters):
        reasons[rule.reason] += int((present & (run.sieve.rejected_by == position)).sum())
    short = run.fits.mode == Mode.NOWHERE
    reasons[PlacementReason.INSUFFICIENT_GPU_MEMORY] += int((short & run.short.on_gpu).sum())
    reasons[PlacementReason.INSUFFICIENT_RAM] += int((short & ~run.short.on_gpu).sum())
    reasons[PlacementReason.WORKER_UNKNOWN] += len(run.unknown)
    return tuple(
        ReasonCount(reason=reason, worker_count=number) for reason, number in reasons.most_common() if number
    )


def _workers(run: _Run, limit: int) -> tuple[WorkerExplanation, ...]:
    """Workers that were named in error, then feasible ones by rank, then the others by closeness."""
    listed = [*run.unknown[:limit], *_ranked(run, limit - len(run.unknown))]
    listed += _too_small(run, limit - len(listed))
    listed += _filtered(run, limit - len(listed))
    return tuple(listed)


def _ranked(run: _Run, limit: int) -> list[WorkerExplanation]:
    return [
        WorkerExplanation(
            worker=run.snapshot.rows.at(int(run.candidates.offer.slots[row])).name,
            rank=position,
            score=float(run.ranking.score[row]),
            score_parts=run.ranking.parts(int(row)),
        )
        for position, row in enumerate(run.ranking.order[: max(0, limit)], start=1)
    ]


def _too_small(run: _Run, limit: int) -> list[WorkerExplanation]:
    rows = np.flatnonzero(run.fits.mode == Mode.NOWHERE)
    if limit <= 0 or not len(rows):
        return []
    ties = _ties(run, run.offer.slots[rows])
    closest = run.offer.rows(rows[np.lexsort((ties, run.short.distance[rows]))[:limit]])
    estimate = partial(ESTIMATORS[run.request.engine], run.request.facts)
    rejections = memory_rejections(estimate, run.request.options, closest)
    return [
        WorkerExplanation(worker=run.snapshot.rows.at(int(slot)).name, rejections=why)
        for slot, why in zip(closest.slots, rejections, strict=True)
    ]


def _filtered(run: _Run, limit: int) -> list[WorkerExplanation]:
    """Those that came furthest through the filters first."""
    present = run.snapshot.columns.present
    slots = np.flatnonzero(present & (run.sieve.rejected_by != PASSED))
    order = np.lexsort((_ties(run, slots), -run.sieve.rejected_by[slots]))[: max(0, limit)]
    return [
        WorkerExplanation(
            worker=run.snapshot.rows.at(int(slot)).name, rejections=run.sieve.rejections(int(slot))
        )
        for slot in slots[order]
    ]


def _ties(run: _Run, slots: NDArray[np.intp]) -> NDArray[np.uint64]:
    return tie_order(run.snapshot.columns.identity[slots], run.request.seed)


def released(explanation: Explanation, worker: str) -> Explanation:
    """The explanation for an instance that its nominated worker can no longer take."""
    return replace(
        explanation,
        verdict=Verdict.NOT_NOW,
        summary=f"{worker}, for which it was fetched, can no longer take it; {explanation.summary}",
    )
