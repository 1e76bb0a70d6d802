"""Which cards can serve a shape: the same for all cards of a size and kind."""

from dataclasses import dataclass

import numpy as np

from moorage_scheduler.core.codes import ACCELERATORS
from moorage_scheduler.core.offer import Offer, View
from moorage_scheduler.core.parallel import ParallelShape
from moorage_scheduler.core.snapshot import Int64s, Mask
from moorage_scheduler.estimators.vllm import Card, VllmNeeds


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CardNeeds:
    """What a shape takes of the cards of an offer; all are [row, pool], and 0 or false where there is no card."""

    claim: Int64s
    """Bytes that it takes, which must be free."""
    missing: Int64s
    """Bytes more that the card's part would have to have. Not above 0: the shape fits it."""
    eligible: Mask
    """Cards that hold their part of the shape, and have so much free."""


class SortFit:
    """What a model takes of a sort of card, and what that is short of: found once per shape."""

    def __init__(self, needs: VllmNeeds) -> None:
        self.needs = needs
        self._found: dict[tuple[ParallelShape, Card], tuple[int, int]] = {}

    def of(self, shape: ParallelShape, card: Card) -> tuple[int, int]:
        """Returns both, in bytes. Of a pipeline, the stage that needs most counts."""
        found = self._found.get((shape, card))
        if found is None:
            stages = self.needs.stages(shape)
            claim = max(self.needs.claim_bytes(shape, stage, card) for stage in stages)
            missing = max(self.needs.shortage(shape, stage, card) for stage in stages)
            found = self._found[shape, card] = claim, missing
        return found


class CardFit:
    """What a model takes of the cards of an offer."""

    def __init__(self, sorts: SortFit, view: View) -> None:
        self._sorts = sorts
        self._given = view.offer
        self._cards = [
            Card(total_bytes=sort.total, kind=sort.kind) if sort.kind else None
            for sort in view.snapshot.sorts
        ]
        self._found: dict[ParallelShape, CardNeeds] = {}

    def takeable(self) -> Mask:
        """Returns, as [row, pool], cards that have free what is taken of them; all where the shape decides how much."""
        offered: Mask = self._given.kinds != 0
        share = self._sorts.needs.utilization
        if share is None:
            return offered
        return np.asarray(offered & (self._given.available >= np.ceil(self._given.total * share)))

    def of(self, shape: ParallelShape) -> CardNeeds:
        """Returns what a shape takes of each card. Of a pipeline, the stage that needs most counts."""
        if shape not in self._found:
            self._found[shape] = self._look(shape)
        return self._found[shape]

    def fits_any(self, shape: ParallelShape) -> bool:
        """Tells whether there is a card, however full, that could hold its part of a shape."""
        return any(card is not None and self._sorts.of(shape, card)[1] <= 0 for card in self._cards)

    def _look(self, shape: ParallelShape) -> CardNeeds:
        sorts = len(self._cards)
        claims, missing = np.zeros(sorts, np.int64), np.zeros(sorts, np.int64)
        for position, card in enumerate(self._cards):
            if card is not None:
                claims[position], missing[position] = self._sorts.of(shape, card)
        given = self._given
        offered = given.kinds != 0
        claim = np.where(offered, claims[given.sort], 0)
        short = np.where(offered, missing[given.sort], 0)
        return CardNeeds(
            claim=claim,
            missing=short,
            eligible=offered & (claim <= given.available) & (short <= 0),
        )


def counts_by_kind(given: Offer, mask: Mask) -> Int64s:
    """Returns, as [row, kind], how many of the cards in a mask are of each kind."""
    found = np.zeros((len(given.slots), len(ACCELERATORS)), np.int64)
    for kind in np.flatnonzero(np.bincount(given.kinds.ravel(), minlength=len(ACCELERATORS))):
        if kind:
            found[:, kind] = (mask & (given.kinds == kind)).sum(axis=1)
    return found
