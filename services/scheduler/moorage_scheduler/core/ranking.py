"""The order of the workers on which a model fits: the one place where scores are normalised and weighed."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from moorage_common.core.placement import PlacementStrategy
from moorage_scheduler.core.candidates import Candidates
from moorage_scheduler.core.explanation import ScorePart
from moorage_scheduler.core.policy import ScoringPolicy
from moorage_scheduler.core.snapshot import Floats
from moorage_scheduler.scorers import SCORERS, Scorer


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ranking:
    """Candidates with their scores."""

    order: NDArray[np.intp]
    """Rows of the candidates, best first."""
    score: Floats
    """[row]"""
    values: Floats
    """[row, scorer]: from 0 to 1."""
    scorers: Sequence[Scorer]
    policy: ScoringPolicy

    def parts(self, row: int) -> tuple[ScorePart, ...]:
        """What one candidate's score is made of."""
        return tuple(
            ScorePart(scorer=scorer.name, value=float(value), weight=self.policy.weight_of(scorer.name))
            for scorer, value in zip(self.scorers, self.values[row], strict=True)
        )


def rank(candidates: Candidates, strategy: PlacementStrategy, policy: ScoringPolicy) -> Ranking:
    """Orders candidates by score. Equals are ordered by a hash of their name, seeded with the request."""
    scorers = SCORERS[strategy]
    values = np.stack([_normalised(scorer, scorer.raw(candidates)) for scorer in scorers], axis=1)
    score = values @ np.array([policy.weight_of(scorer.name) for scorer in scorers])
    ties = tie_order(candidates.snapshot.columns.identity[candidates.offer.slots], candidates.request.seed)
    # Sums of the same parts can differ in their last bits; those must not decide.
    order = np.lexsort((ties, -np.round(score, 9)))
    return Ranking(order=order, score=score, values=values, scorers=scorers, policy=policy)


def tie_order(identities: NDArray[np.uint64], seed: str) -> NDArray[np.uint64]:
    """Numbers that order equal workers: as good as random, and the same again for the same seed."""
    key = np.uint64(int.from_bytes(blake2b(seed.encode(), digest_size=8).digest()))
    mixed = identities ^ key
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(mixed ^ (mixed >> np.uint64(31)))


def _normalised(scorer: Scorer, raw: Floats) -> Floats:
    low, high = scorer.bounds
    return np.asarray(np.clip((raw - low) / (high - low), 0.0, 1.0))
