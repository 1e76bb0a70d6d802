"""What a scheduler prefers, as configuration."""

from dataclasses import dataclass

from moorage_common.core.placement import PlacementStrategy

FIT_GAP = 0.15
"""The least that the fit scorer's values of two modes lie apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoringPolicy:
    """Weights of the scorers. The fit's is so large that no sum of the others outweighs a better mode."""

    fit: float = 84.0
    binpack: float = 1.0
    spread: float = 9.0
    artifact_locality: float = 2.0
    stickiness: float = 0.5
    speed: float = 0.4
    topology: float = 0.5
    lead: float = 5.0
    """For what the leader of several workers brings."""
    strategy: PlacementStrategy = PlacementStrategy.SPREAD
    """For models that name none."""

    def __post_init__(self) -> None:
        always = (self.artifact_locality, self.stickiness, self.speed, self.topology)
        one_of = (self.binpack, self.spread, self.lead)
        if min(*always, *one_of) < 0:
            raise ValueError("a scorer's weight is not negative")
        if self.fit * FIT_GAP <= max(one_of) + sum(always):
            raise ValueError(f"the fit's weight times {FIT_GAP} must be more than the other weights together")

    def weight_of(self, scorer: str) -> float:
        """The weight of a scorer, by its name."""
        return float(getattr(self, scorer))
