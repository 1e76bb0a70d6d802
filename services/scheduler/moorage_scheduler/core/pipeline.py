"""Places one instance: filters → packing → search → score → placement and explanation.

One code path for the loop, for dry runs, for simulations and for explanations; automatic and by hand differ only in
the request's selection. Nothing here changes a snapshot, reads a clock or draws a random number.
"""

from dataclasses import replace

from moorage_common.core.placement import PlacementMode, Verdict
from moorage_scheduler.core import summary
from moorage_scheduler.core.explanation import Explanation
from moorage_scheduler.core.packing import Obstacles, Spot
from moorage_scheduler.core.packings import packing_of
from moorage_scheduler.core.policy import ScoringPolicy
from moorage_scheduler.core.report import Report
from moorage_scheduler.core.request import Outcome, Placement, Request
from moorage_scheduler.core.search import Search, search
from moorage_scheduler.core.snapshot import Snapshot
from moorage_scheduler.core.wishes import by_uuid


def place(
    snapshot: Snapshot, request: Request, policy: ScoringPolicy, *, explain_workers: int = 20
) -> Outcome:
    """Finds where one instance goes, and says why.

    Args:
        snapshot: The fleet; it is not changed.
        request: The instance.
        policy: What is preferred.
        explain_workers: How many workers the explanation lists at most.
    """
    request = by_uuid(snapshot, request)
    packing = packing_of(request)
    if isinstance(packing, Obstacles):
        return _impossible(snapshot, packing)
    found = search(snapshot, request, packing, policy)
    placement = _placement(found)
    report = Report(found)
    verdict = Verdict.PLACED if placement else report.refusal()
    counts = report.counts()
    workers = report.workers(explain_workers)
    if placement:
        sentence = summary.placed(placement, len(found.ranking.order))
    else:
        sentence = summary.not_placed(verdict, counts, workers)
    return Outcome(
        placement=placement,
        explanation=Explanation(
            verdict=verdict,
            summary=sentence,
            workers_considered=report.considered(),
            reason_counts=counts,
            workers=workers,
        ),
    )


def place_there(snapshot: Snapshot, request: Request, policy: ScoringPolicy) -> Placement | None:
    """Finds how one instance lies on the worker for which it was fetched, without looking at any other.

    Returns None if it does not fit there alone, or the choice is not the scheduler's: then `place` tells what is.
    """
    selection = request.selection
    allowed = not selection.workers or request.nominated_worker in selection.workers
    if not request.nominated_worker or selection.gpus or selection.primary_worker or not allowed:
        return None
    there = replace(selection, workers=frozenset({request.nominated_worker}), may_distribute=False)
    return place(snapshot, replace(request, selection=there), policy, explain_workers=0).placement


def _placement(found: Search) -> Placement | None:
    if not found.fits_somewhere:
        return None
    position = _chosen_team(found)
    if position is not None:
        team = found.teams[position]
        worker = found.view.worker(team.leader)
        return _placed(found, worker, team.spot, found.team_score(position), team.engine_version)
    row = _chosen_row(found)
    candidates = found.candidates
    spot = found.packing.settle(candidates.view, candidates.fits, row)
    worker = candidates.view.worker(row)
    version = found.snapshot.rows.latest(worker, found.request.engine, found.request.engine_version)
    return _placed(found, worker, spot, float(found.ranking.score[row]), version)


def _placed(found: Search, worker: str, spot: Spot, score: float, version: str) -> Placement:
    return Placement(
        worker=worker,
        subordinates=spot.subordinates,
        claims=spot.claims,
        engine=found.request.engine,
        engine_version=version,
        mode=PlacementMode[spot.mode.name],
        gpu_layers=spot.gpu_layers,
        total_layers=found.packing.total_layers,
        context_length=found.packing.context_length,
        score=score,
        parallel=spot.parallel,
    )


def _chosen_row(found: Search) -> int:
    """The best; but where the artifact was fetched for this very instance, if it still fits there."""
    nominated = found.candidates.view.row_of(found.request.nominated_worker)
    return int(found.ranking.order[0]) if nominated is None else nominated


def _chosen_team(found: Search) -> int | None:
    """The best, or the one that the nominated worker leads. None: one worker takes it alone."""
    leaders = [found.view.worker(team.leader) for team in found.teams]
    nominated = found.request.nominated_worker
    if nominated in leaders:
        return leaders.index(nominated)
    return 0 if leaders and found.candidates.view.row_of(nominated) is None else None


def _impossible(snapshot: Snapshot, obstacles: Obstacles) -> Outcome:
    return Outcome(
        placement=None,
        explanation=Explanation(
            verdict=Verdict.NEVER_FITS,
            summary=summary.impossible(obstacles.rejections),
            workers_considered=int(snapshot.columns.present.sum()),
            reason_counts=(),
            workers=(),
            rejections=obstacles.rejections,
        ),
    )


def released(explanation: Explanation, worker: str) -> Explanation:
    """The explanation for an instance that its nominated worker can no longer take."""
    return replace(
        explanation,
        verdict=Verdict.NOT_NOW,
        summary=f"{worker}, for which it was fetched, can no longer take it; {explanation.summary}",
    )
