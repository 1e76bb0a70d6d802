"""The order of the workers on which a model fits: the one place where scores are normalised and weighed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from moorage_common.core.placement import PlacementStrategy
from moorage_scheduler.core.candidates import Candidates
from moorage_scheduler.core.explanation import ScorePart
from moorage_scheduler.core.packing import Team
from moorage_scheduler.core.policy import ScoringPolicy
from moorage_scheduler.core.snapshot import Floats
from moorage_scheduler.scorers import SCORERS, Scorer
from moorage_scheduler.scorers.fit import fit_value


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ranking:
    """Candidates with their scores."""

    order: NDArray[np.intp]
    """Rows of the candidates, best first."""
    score: Floats
    """[row]"""
    values: Floats
    """[row, scorer]: from 0 to 1."""
    names: Sequence[str]
    """Of the scorers."""
    weights: Sequence[float]
    """One per scorer."""

    def parts(self, row: int) -> tuple[ScorePart, ...]:
        """What one candidate's score is made of."""
        return tuple(map(ScorePart, self.names, self.values[row].tolist(), self.weights))


def rank(candidates: Candidates, strategy: PlacementStrategy, policy: ScoringPolicy) -> Ranking:
    """Orders candidates by score. Equals are ordered by a hash of their name, seeded with the request."""
    scorers = SCORERS[strategy]
    values = np.stack([_normalised(scorer, scorer.raw(candidates)) for scorer in scorers], axis=1)
    names = [scorer.name for scorer in scorers]
    weights = list(map(policy.weight_of, names))
    score = values @ np.array(weights)
    # Sums of the same parts can differ in their last bits; those must not decide.
    order = np.lexsort((candidates.view.ties(), -np.round(score, 9)))
    return Ranking(order=order, score=score, values=values, names=names, weights=weights)


def team_parts(teams: Sequence[Team], policy: ScoringPolicy) -> list[tuple[ScorePart, ...]]:
    """Returns what the scores of teams are made of: how the model lies, and what its leader brings.

    Which team is better is decided by rule (see `layers.together`); these figures order them alike.
    """
    most = {
        mode: max(t.usable for t in teams if t.spot.mode is mode) for mode in {t.spot.mode for t in teams}
    }
    return [
        (
            ScorePart(scorer="fit", value=float(fit_value(team.spot.mode)), weight=policy.fit),
            ScorePart(scorer="lead", value=team.usable / max(1, most[team.spot.mode]), weight=policy.lead),
        )
        for team in teams
    ]


def _normalised(scorer: Scorer, raw: Floats) -> Floats:
    low, high = scorer.bounds
    return np.asarray(np.clip((raw - low) / (high - low), 0.0, 1.0))
