"""Where one instance could go: filters, then how its model lies on what passed, then the order among what would do."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from moorage_scheduler.core.by_hand import refused_by_hand
from moorage_scheduler.core.candidates import Candidates
from moorage_scheduler.core.explanation import ScorePart, WorkerExplanation
from moorage_scheduler.core.offer import View, offer
from moorage_scheduler.core.packing import Fits, Mode, Packing, Team
from moorage_scheduler.core.policy import ScoringPolicy
from moorage_scheduler.core.ranking import Ranking, rank, team_parts
from moorage_scheduler.core.request import Request
from moorage_scheduler.core.sieve import Sieve, sift
from moorage_scheduler.core.snapshot import Snapshot
from moorage_scheduler.core.teams import teams

_LEADERS = 5
"""Leaders that are tried, where several workers serve together; those that are not chosen are explained."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Search:
    """Everything that was found out about one request."""

    snapshot: Snapshot
    request: Request
    policy: ScoringPolicy
    packing: Packing
    by_hand: tuple[WorkerExplanation, ...]
    """Why what was chosen by hand is refused as a whole."""
    sieve: Sieve
    view: View
    fits: Fits
    candidates: Candidates
    """Workers on which it fits alone."""
    ranking: Ranking
    teams: tuple[Team, ...]
    """Workers that would serve it together, if that is better than any alone."""
    team_parts: Sequence[tuple[ScorePart, ...]]
    """What the scores of the teams are made of."""

    @property
    def fits_somewhere(self) -> bool:
        """Whether there is any place for it."""
        return not self.by_hand and bool(self.teams or len(self.ranking.order))

    def team_score(self, position: int) -> float:
        """The score of one team."""
        return sum(part.value * part.weight for part in self.team_parts[position])


def search(
    snapshot: Snapshot, request: Request, packing: Packing, policy: ScoringPolicy, *, empty: bool = False
) -> Search:
    """Returns where an instance could go.

    Args:
        snapshot: The fleet.
        request: The instance.
        packing: How its model lies on workers.
        policy: What is preferred.
        empty: On a fleet where nobody holds or uses anything, and every suitable worker is READY.
    """
    strategy = request.strategy or policy.strategy
    sieve = sift(snapshot, request)
    mask = sieve.suitable if empty else sieve.passed
    view = View(snapshot, request, offer(snapshot, request, mask, sieve.cards, empty=empty), strategy)
    fits = packing.alone(view)
    feasible = np.flatnonzero(fits.mode != Mode.NOWHERE)
    candidates = Candidates(view=view.rows(feasible), packing=packing, fits=fits.rows(feasible))
    together = _teams(packing, view, candidates)
    return Search(
        snapshot=snapshot,
        request=request,
        policy=policy,
        packing=packing,
        by_hand=refused_by_hand(snapshot, request, sieve, transient=not empty),
        sieve=sieve,
        view=view,
        fits=fits,
        candidates=candidates,
        ranking=rank(candidates, strategy, policy),
        teams=together,
        team_parts=team_parts(together, policy),
    )


def _teams(packing: Packing, view: View, candidates: Candidates) -> tuple[Team, ...]:
    """Several workers, where they hold more than each alone: fully before partly, partly before the CPU."""
    alone = int(candidates.fits.mode.max(initial=Mode.NOWHERE))
    if alone > Mode.DISTRIBUTED or not view.request.selection.may_distribute:
        return ()
    most = int(candidates.fits.gpu_layers.max(initial=0))
    return tuple(team for team in teams(packing, view, _LEADERS) if team.spot.gpu_layers > most)
