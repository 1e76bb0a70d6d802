"""Which workers pass the filters, and which filter rejected each of the others."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from moorage_scheduler.core.explanation import Rejection
from moorage_scheduler.core.request import Request
from moorage_scheduler.core.snapshot import Mask, Snapshot
from moorage_scheduler.filters import FILTERS, Filter

PASSED = -1
"""In `Sieve.rejected_by`: no filter did."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sieve:
    """What the filters said of every worker."""

    snapshot: Snapshot
    request: Request
    filters: Sequence[Filter]
    passes: Sequence[Mask]
    """Per filter, which slots pass it."""
    rejected_by: NDArray[np.int8]
    """[slot]: position of the first filter that rejected it, or PASSED."""

    @property
    def passed(self) -> Mask:
        """Workers that every filter lets through."""
        return np.asarray(self.snapshot.columns.present & (self.rejected_by == PASSED))

    @property
    def suitable(self) -> Mask:
        """Workers that would pass if they were READY and took new instances."""
        mask = self.snapshot.columns.present.copy()
        for rule, passes in zip(self.filters, self.passes, strict=True):
            if not rule.transient:
                mask &= passes
        return mask

    def rejections(self, slot: int) -> tuple[Rejection, ...]:
        """Returns what every filter that the worker in a slot failed says of it, in their order."""
        return tuple(
            rule.reject(self.snapshot, self.request, slot)
            for rule, passes in zip(self.filters, self.passes, strict=True)
            if not passes[slot]
        )


def sift(snapshot: Snapshot, request: Request) -> Sieve:
    """Asks every filter about every worker."""
    passes = [rule.passes(snapshot, request) for rule in FILTERS]
    rejected_by = np.full(len(snapshot.columns.present), PASSED, np.int8)
    for position in range(len(FILTERS) - 1, -1, -1):
        rejected_by[~passes[position]] = position
    return Sieve(snapshot=snapshot, request=request, filters=FILTERS, passes=passes, rejected_by=rejected_by)
