"""Which workers pass the filters, which of their cards do, and which filter rejected each of the others."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from moorage_scheduler.core.explanation import Rejection
from moorage_scheduler.core.request import Request
from moorage_scheduler.core.snapshot import Mask, Snapshot
from moorage_scheduler.filters import FILTERS, CardRule, Filter
from moorage_scheduler.filters.compatibility import must_have_gpu

PASSED = -1
"""In `Sieve.rejected_by`: no filter did."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sieve:
    """What the filters said of every worker."""

    snapshot: Snapshot
    request: Request
    rules: Sequence[Filter | CardRule]
    passes: Sequence[Mask]
    """Per rule, which slots pass it."""
    rejected_by: NDArray[np.int8]
    """[slot]: position of the first rule that rejected it, or PASSED."""
    cards: Mask
    """[slot, pool]: accelerators that the model may compute on."""

    @property
    def passed(self) -> Mask:
        """Workers that every filter lets through."""
        return np.asarray(self.snapshot.columns.present & (self.rejected_by == PASSED))

    @property
    def suitable(self) -> Mask:
        """Workers that would pass if they were READY and took new instances."""
        mask = self.snapshot.columns.present.copy()
        for rule, passes in zip(self.rules, self.passes, strict=True):
            if not rule.transient:
                mask &= passes
        return mask

    def rejections(self, slot: int, chosen: Sequence[int] = ()) -> tuple[Rejection, ...]:
        """Returns what every filter that the worker in a slot failed says of it, in their order.

        Of rules about cards only the first speaks: those after it look at cards that are no longer there.

        Args:
            slot: The worker's.
            chosen: Pools of its cards that must all be admitted. Empty: one must be.
        """
        said: list[Rejection] = []
        cards_gone = False
        for rule, passes in zip(self.rules, self.passes, strict=True):
            if cards_gone and isinstance(rule, CardRule):
                continue
            if chosen and isinstance(rule, CardRule):
                if rule.admits(self.snapshot, self.request)[slot, chosen].all():
                    continue
            elif passes[slot]:
                continue
            cards_gone = cards_gone or isinstance(rule, CardRule)
            said.append(rule.reject(self.snapshot, self.request, slot))
        return tuple(said)


def sift(snapshot: Snapshot, request: Request) -> Sieve:
    """Asks every filter about every worker."""
    columns = snapshot.columns
    cards = columns.kinds != 0
    unbound = ~must_have_gpu(snapshot, request)
    passes: list[Mask] = []
    for rule in FILTERS:
        if isinstance(rule, CardRule):
            cards = cards & rule.admits(snapshot, request)
            passes.append(np.asarray(unbound | cards.any(axis=1)))
        else:
            passes.append(rule.passes(snapshot, request))
    rejected_by = np.full(len(columns.present), PASSED, np.int8)
    for position in range(len(FILTERS) - 1, -1, -1):
        rejected_by[~passes[position]] = position
    return Sieve(
        snapshot=snapshot,
        request=request,
        rules=FILTERS,
        passes=passes,
        rejected_by=rejected_by,
        cards=cards,
    )
