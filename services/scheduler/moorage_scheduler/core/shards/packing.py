"""How a vLLM model lies on workers."""

from collections.abc import Sequence

import numpy as np

from moorage_scheduler.core.closeness import APART, LINKED, closeness, closest
from moorage_scheduler.core.explanation import Rejection
from moorage_scheduler.core.offer import View
from moorage_scheduler.core.packing import Fits, Mode, Obstacles, Spot, Team
from moorage_scheduler.core.parallel import ParallelShape
from moorage_scheduler.core.shards.alone import fits_of, search
from moorage_scheduler.core.shards.cards import CardFit, SortFit, counts_by_kind
from moorage_scheduler.core.shards.claims import claims_of
from moorage_scheduler.core.shards.shortage import Shortages
from moorage_scheduler.core.shards.together import Gathering, best_cards
from moorage_scheduler.core.snapshot import Floats, Int64s
from moorage_scheduler.estimators.vllm import VllmNeeds
from moorage_scheduler.estimators.vllm_shapes import refuse_count, refuse_sizes


class ShardPacking:
    """Every layer cut over GPUs."""

    def __init__(self, needs: VllmNeeds, exact_gpus: int) -> None:
        self._needs = needs
        self._sorts = SortFit(needs)
        self._exact_gpus = exact_gpus
        self._ways: dict[ParallelShape, int] = {}
        """The shapes that `Fits.way` speaks of, with their numbers."""

    @property
    def total_layers(self) -> int:
        """Layers of the model, the output layer counting as one."""
        return self._needs.estimate.block_count + 1

    @property
    def context_length(self) -> int:
        """Tokens of the longest request that claims are for."""
        return self._needs.context_length

    def alone(self, view: View) -> Fits:
        """Returns how the model lies on each worker alone."""
        found = search(self._needs, view.offer, self._fit(view), self._exact_gpus)
        ways = [self._ways.setdefault(shape, len(self._ways)) for shape in found.shapes]
        return fits_of(found, self.total_layers, ways)

    def settle(self, view: View, fits: Fits, row: int) -> Spot:
        """Returns which GPUs of a worker, on which the model fits, take part."""
        one = view.rows(np.array([row]))
        shape = self._shape(fits.way[row])
        needs = self._fit(one).of(shape)
        counts = counts_by_kind(one.offer, needs.eligible)[0]
        kinds = [int(kind) for kind in np.flatnonzero(counts >= shape.gpus)]
        by_room = sorted(kinds, key=lambda kind: (-self._room(one, kind), kind))
        gpus = closest(best_cards(one, needs, 0, by_room[0]), shape.gpus)
        return Spot(
            claims=claims_of(self._needs, shape, gpus),
            mode=Mode(int(fits.mode[row])),
            gpu_layers=self.total_layers,
            parallel=shape,
        )

    def together(self, view: View, limit: int) -> Sequence[Team]:
        """Returns the workers that would serve it together, best first."""
        exact, layers = self._exact_gpus, self.total_layers
        return Gathering(self._needs, view, self._fit(view), exact_gpus=exact, layers=layers).teams(limit)

    def fullness(self, view: View, fits: Fits) -> Floats:
        """Returns how full the GPUs would be that the model goes to: of a worker's fullest that hold it."""
        given, fit = view.offer, self._fit(view)
        full = np.zeros(len(given.slots), np.float64)
        for way in np.unique(fits.way[fits.mode != Mode.NOWHERE]):
            shape = self._shape(way)
            needs = fit.of(shape)
            used = given.capacity - given.available + needs.claim
            each = np.where(needs.eligible, used / np.maximum(given.capacity, 1), 0.0)
            fullest = -np.sort(-each, axis=1)[:, : shape.gpus]
            full = np.where(fits.way == way, fullest.mean(axis=1), full)
        return full

    def closeness(self, view: View, fits: Fits) -> Floats:
        """Returns how close to each other the GPUs are that the model goes to."""
        given, fit = view.offer, self._fit(view)
        close = np.where(fits.gpus > 1, APART, LINKED)
        grouped = (given.linked | given.switched).any(axis=1) & (fits.gpus > 1)
        for way in np.unique(fits.way[grouped]):
            rows = np.flatnonzero(grouped & (fits.way == way))
            eligible = fit.of(self._shape(way)).eligible[rows]
            close[rows] = closeness(given.rows(rows), eligible, fits.gpus[rows])
        return close

    def distance(self, view: View) -> Int64s:
        """Returns how many bytes each worker on which it does not fit is short of."""
        return self._shortages(view).distance()

    def rejections(self, view: View) -> list[tuple[Rejection, ...]]:
        """Returns why each worker is too small, and what would help."""
        short = self._shortages(view)
        return [short.rejections(row) for row in range(len(view.offer.slots))]

    def _fit(self, view: View) -> CardFit:
        return view.once(CardFit, lambda: CardFit(self._sorts, view))

    def _shortages(self, view: View) -> Shortages:
        return Shortages(self._needs, view, self._fit(view), self._exact_gpus)

    def _shape(self, way: int) -> ParallelShape:
        return next(shape for shape, number in self._ways.items() if number == way)

    @staticmethod
    def _room(view: View, kind: int) -> int:
        given = view.offer
        return int(np.where(given.kinds[0] == kind, given.available[0], 0).sum())


def shard_packing(needs: VllmNeeds, exact_gpus: int) -> ShardPacking | Obstacles:
    """Returns how a model lies on workers, or why it cannot be cut as is asked for."""
    if exact_gpus:
        refusal = refuse_count(needs.cuts, needs.options, exact_gpus)
    else:
        refusal = refuse_sizes(needs.cuts, needs.options)
    return ShardPacking(needs, exact_gpus) if refusal is None else Obstacles((refusal,))
