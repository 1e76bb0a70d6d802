"""How close GPUs of a worker are to each other: linked, on the same PCIe switches, or neither, as far as is known."""

from collections.abc import Sequence

import numpy as np

from moorage_scheduler.core.offer import Gpu, Offer
from moorage_scheduler.core.snapshot import Floats, Int64s, Mask

LINKED, SWITCHED, APART = 1.0, 0.5, 0.0


def closest(gpus: Sequence[Gpu], count: int) -> list[Gpu]:
    """Returns so many of some GPUs: linked ones if there are as many, else those on the same switches, else the first.

    Args:
        gpus: Best first.
        count: How many are needed.
    """
    for numbers in ([gpu.linked for gpu in gpus], [gpu.switched for gpu in gpus]):
        groups: dict[int, list[Gpu]] = {}
        for gpu, number in zip(gpus, numbers, strict=True):
            if number:
                groups.setdefault(number, []).append(gpu)
        # Of several groups, the one that has its last GPU earliest: the best ones, by whatever orders them.
        whole = [group[:count] for group in groups.values() if len(group) >= count]
        if whole:
            return min(whole, key=lambda group: gpus.index(group[-1]))
    return list(gpus[:count])


def closeness(given: Offer, eligible: Mask, count: Int64s) -> Floats:
    """Returns, per row of an offer, how close so many of its eligible cards can be to each other."""
    found = np.where(count > 1, APART, LINKED)
    for groups, value in ((given.linked, LINKED), (given.switched, SWITCHED)):
        for number in range(1, int(groups.max(initial=0)) + 1):
            enough = (eligible & (groups == number)).sum(axis=1) >= count
            found = np.where(enough, np.maximum(found, value), found)
    return found
