"""Why an instance goes where it goes, or nowhere."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from moorage_common.core.placement import PlacementMode, PlacementReason, Verdict

Gist: TypeAlias = tuple[Verdict | None, int, frozenset[tuple[PlacementReason, int]]]
"""Verdict, workers considered, and workers per reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """Why one rule rejected one worker."""

    reason: PlacementReason
    needed: str
    available: str
    unit: str = ""
    """``bytes``, ``GPUs``, or empty for names."""
    remedy: str = ""
    """What would help, in one sentence."""
    instances: tuple[str, ...] = ()
    """Those that stand in the way: were they gone, it would pass."""


class ScorePart(NamedTuple):
    """One part of a score, which is the sum of value times weight."""

    scorer: str
    value: float
    """From 0 to 1."""
    weight: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerExplanation:
    """What became of one worker: rejected, or ranked."""

    worker: str
    rejections: tuple[Rejection, ...] = ()
    rank: int = 0
    """Position among the feasible workers, from 1. 0: it was rejected."""
    score: float = 0.0
    score_parts: tuple[ScorePart, ...] = ()
    mode: PlacementMode | None = None
    """How the model would lie with this worker as its primary. None: it was rejected."""
    subordinates: tuple[str, ...] = ()
    """The workers that would take part beside it."""
    gpu_layers: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasonCount:
    """How many workers were rejected for one reason; each counts under the first that it met."""

    reason: PlacementReason
    worker_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """The whole answer: in one word, in one sentence, in counts, and worker by worker."""

    verdict: Verdict
    summary: str
    workers_considered: int
    """Every worker that exists, and every one that was asked for and does not."""
    reason_counts: tuple[ReasonCount, ...]
    """Most first."""
    workers: tuple[WorkerExplanation, ...]
    """Best and closest first; at most as many as were asked for."""
    rejections: tuple[Rejection, ...] = ()
    """Why no worker could do, whatever it has."""

    @property
    def gist(self) -> Gist:
        """What makes two explanations worth telling apart: not every byte that a heartbeat moves."""
        counts = ((item.reason, item.worker_count) for item in self.reason_counts)
        return gist(self.verdict, self.workers_considered, counts)


def gist(
    verdict: Verdict | None, workers_considered: int, counts: Iterable[tuple[PlacementReason, int]]
) -> Gist:
    """Returns the gist of an explanation with these figures."""
    return verdict, workers_considered, frozenset(counts)
