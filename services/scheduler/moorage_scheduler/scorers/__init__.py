"""The preferences among workers on which a model fits, one per file."""

from collections.abc import Mapping
from types import MappingProxyType

from moorage_common.core.placement import PlacementStrategy
from moorage_scheduler.scorers.artifact_locality import ArtifactLocalityScorer
from moorage_scheduler.scorers.base import Scorer
from moorage_scheduler.scorers.binpack import BinpackScorer
from moorage_scheduler.scorers.fit import FitScorer
from moorage_scheduler.scorers.speed import SpeedScorer
from moorage_scheduler.scorers.spread import SpreadScorer
from moorage_scheduler.scorers.stickiness import StickinessScorer
from moorage_scheduler.scorers.topology import TopologyScorer

SCORERS: Mapping[PlacementStrategy, tuple[Scorer, ...]] = MappingProxyType(
    {
        PlacementStrategy.BINPACK: (
            FitScorer(),
            BinpackScorer(),
            ArtifactLocalityScorer(),
            StickinessScorer(),
            SpeedScorer(),
            TopologyScorer(),
        ),
        PlacementStrategy.SPREAD: (
            FitScorer(),
            SpreadScorer(),
            ArtifactLocalityScorer(),
            StickinessScorer(),
            SpeedScorer(),
            TopologyScorer(),
        ),
    }
)
"""The scorers of each strategy, in the order in which explanations list them."""

__all__ = ["SCORERS", "Scorer"]
