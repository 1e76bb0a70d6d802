"""Why a vLLM model does not fit some workers, by how much, and what would make it fit."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from moorage_common.core.placement import PlacementReason
from moorage_scheduler.core.codes import ACCELERATORS
from moorage_scheduler.core.explanation import Rejection
from moorage_scheduler.core.offer import View
from moorage_scheduler.core.parallel import ParallelShape
from moorage_scheduler.core.shards.alone import ram_left, single_worker_shapes
from moorage_scheduler.core.shards.cards import CardFit, CardNeeds
from moorage_scheduler.core.snapshot import Int64s
from moorage_scheduler.core.text import amount, count
from moorage_scheduler.estimators.vllm import Card, VllmNeeds

_UTILIZATION_STEP = 0.01
_MOST_GPUS = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class _Nearest:
    """The shape that a worker came nearest to, and its cards for it."""

    shape: ParallelShape
    needs: CardNeeds
    positions: NDArray[np.intp]
    """Pools of the cards that it would take, the one that is short of most last."""


class Shortages:
    """What the workers of an offer are short of. Those that fit are of no interest here."""

    def __init__(self, needs: VllmNeeds, view: View, fit: CardFit, exact_gpus: int) -> None:
        self._needs = needs
        self._given = view.offer
        self._fit = fit
        most = int((view.offer.kinds != 0).sum(axis=1).max(initial=0))
        self._shapes = single_worker_shapes(needs, exact_gpus, most)
        wanted = self._shapes or single_worker_shapes(needs, exact_gpus, _MOST_GPUS)
        self._fewest = next((shape.gpus for shape in wanted), exact_gpus)

    def distance(self) -> Int64s:
        """[row]: bytes that the cards of the nearest shape are short of, together."""
        best = np.full(len(self._given.slots), 2**62, np.int64)
        for shape in self._shapes:
            short = np.sort(self._short(shape), axis=1)
            if shape.gpus <= short.shape[1]:
                total = np.maximum(short[:, : shape.gpus], 0).sum(axis=1)
                best = np.minimum(best, np.where(short[:, shape.gpus - 1] >= 2**61, 2**62, total))
        return best

    def rejections(self, row: int) -> tuple[Rejection, ...]:
        """Returns why one worker is too small."""
        nearest = self._nearest(row)
        if nearest is None:
            return (self._too_few(row),)
        said = []
        short = int(self._short(nearest.shape)[row, nearest.positions[-1]])
        if short > 0:
            said.append(self._gpu_memory(row, nearest, short))
        left = int(ram_left(self._needs, self._given, self._fit, nearest.shape)[row])
        if left < 0:
            available = int(self._given.available[row, 0])
            said.append(
                Rejection(
                    reason=PlacementReason.INSUFFICIENT_RAM,
                    needed=str(available - left),
                    available=str(available),
                    unit="bytes",
                    remedy=f"needs {amount(-left)} more RAM",
                )
            )
        return tuple(said)

    def _short(self, shape: ParallelShape) -> Int64s:
        """[row, pool]: bytes that each card is short of for its part of a shape; huge where there is none."""
        needs = self._fit.of(shape)
        taken = needs.claim - self._given.available
        return np.where(self._given.kinds != 0, np.maximum(taken, needs.missing), 2**61)

    def _nearest(self, row: int) -> _Nearest | None:
        best: tuple[int, _Nearest] | None = None
        for shape in self._shapes:
            short = self._short(shape)[row]
            for kind in range(1, len(ACCELERATORS)):
                positions = np.flatnonzero(self._given.kinds[row] == kind)
                if len(positions) < shape.gpus:
                    continue
                # Cards that are as short differ all the same: in whatever order they are listed, the same are told of.
                free, size = self._given.available[row, positions], self._given.total[row, positions]
                chosen = positions[np.lexsort((size, -free, short[positions]))][: shape.gpus]
                total = int(np.maximum(short[chosen], 0).sum())
                if best is None or total < best[0]:
                    nearest = _Nearest(shape=shape, needs=self._fit.of(shape), positions=chosen)
                    best = (total, nearest)
        return best[1] if best else None

    def _gpu_memory(self, row: int, nearest: _Nearest, short: int) -> Rejection:
        shape, worst = nearest.shape, int(nearest.positions[-1])
        available = int(self._given.available[row, worst])
        each = "on one GPU" if shape.gpus == 1 else f"on each of {count(shape.gpus, 'GPU')}"
        return Rejection(
            reason=PlacementReason.INSUFFICIENT_GPU_MEMORY,
            needed=str(available + short),
            available=str(available),
            unit="bytes",
            remedy=f"needs {amount(short)} more {each}{self._hint(row, nearest)}",
        )

    def _hint(self, row: int, nearest: _Nearest) -> str:
        """A change of the options that would make it fit, tried out."""
        needs, shape = self._needs, nearest.shape
        cards = [self._card(row, int(position)) for position in nearest.positions]
        free = [int(self._given.available[row, position]) for position in nearest.positions]
        least = min(room / max(1, card.total_bytes) for room, card in zip(free, cards, strict=True))
        share = int(least / _UTILIZATION_STEP) * _UTILIZATION_STEP
        stages = needs.stages(shape)
        holds = all(
            needs.on_gpu(shape, stage, card.kind).total <= share * card.total_bytes
            for card in cards
            for stage in stages
        )
        if needs.utilization is not None and 0 < share < needs.utilization and holds:
            return f"; gpu_memory_utilization {share:.2f} would fit"
        if all(
            room >= int(nearest.needs.claim[row, p]) for room, p in zip(free, nearest.positions, strict=True)
        ):
            smallest = min(cards, key=lambda card: card.total_bytes)
            length = needs.longest_context(shape, dict.fromkeys(range(shape.pipeline), smallest))
            return f"; max_model_len {length} would fit" if length else ""
        return ""

    def _card(self, row: int, position: int) -> Card:
        kind = ACCELERATORS.member(int(self._given.kinds[row, position]))
        if kind is None:
            raise LookupError(f"there is no card at {position}")
        return Card(total_bytes=int(self._given.total[row, position]), kind=kind)

    def _too_few(self, row: int) -> Rejection:
        kinds = self._given.kinds[row]
        has = int(np.bincount(kinds[kinds != 0], minlength=1).max())
        return Rejection(
            reason=PlacementReason.INSUFFICIENT_GPUS,
            needed=str(self._fewest),
            available=str(has),
            unit="GPUs",
            remedy=f"ask for fewer GPUs, or add {count(max(1, self._fewest - has), 'GPU')} of one kind",
        )
