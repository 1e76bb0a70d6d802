"""What keeps workers from serving an instance together that no worker can take alone.

It is found by trying out: were it not for that, there would be a team.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from moorage_common.core.placement import PlacementReason
from moorage_scheduler.core.explanation import Rejection
from moorage_scheduler.core.offer import Offer, View
from moorage_scheduler.core.packing import Team
from moorage_scheduler.core.search import Search
from moorage_scheduler.core.snapshot import Mask
from moorage_scheduler.core.teams import teams


@dataclass(frozen=True, slots=True, eq=False)
class Apart:
    """Workers that one thing keeps from serving together."""

    reason: PlacementReason
    rows: Mask
    """[row] of the search's view: which these are."""
    rejection: Callable[[str], Rejection]
    """Why one of them, by its name, takes no part."""


def kept_apart(found: Search) -> Apart | None:
    """Returns what keeps workers from it. None: nothing does, or it is memory that is short."""
    if found.fits_somewhere or found.teams or not found.request.selection.may_distribute:
        return None
    return next(_hindrances(found), None)


def _hindrances(found: Search) -> Iterator[Apart]:
    given = found.view.offer
    if given.exclusive.any() and _teams(found, replace(given, exclusive=np.zeros_like(given.exclusive))):
        reason = PlacementReason.DISTRIBUTED_VLLM_EXCLUSIVE
        yield Apart(reason, given.exclusive, partial(_exclusive, found))
    for team in found.packing.together(found.view, 1):
        names = _names(found, team)
        reason = PlacementReason.ENGINE_VERSIONS_DIFFER
        yield Apart(reason, _rows(found, names), partial(_other_version, found, names))
    if not given.distributes.all():
        for team in _teams(found, replace(given, distributes=np.ones_like(given.distributes))):
            names = _names(found, team)
            alone_only = _rows(found, names) & ~given.distributes
            reason = PlacementReason.DISTRIBUTION_UNSUPPORTED
            yield Apart(reason, alone_only, partial(_alone_only, found, names))


def _teams(found: Search, given: Offer) -> Sequence[Team]:
    return teams(found.packing, View(found.snapshot, found.request, given, found.view.strategy), 1)


def _names(found: Search, team: Team) -> tuple[str, ...]:
    return (found.view.worker(team.leader), *team.spot.subordinates)


def _rows(found: Search, workers: Sequence[str]) -> Mask:
    mask = np.zeros(len(found.view.offer.slots), np.bool_)
    mask[[row for row in map(found.view.row_of, workers) if row is not None]] = True
    return mask


def _exclusive(found: Search, worker: str) -> Rejection:
    instance = found.snapshot.exclusives.get(worker, "")
    return Rejection(
        reason=PlacementReason.DISTRIBUTED_VLLM_EXCLUSIVE,
        needed="no other distributed vLLM instance",
        available=instance,
        remedy="each worker can serve only one distributed vLLM instance at a time;"
        f" {worker} already serves {instance}: stop that, or add workers",
        instances=(instance,) if instance else (),
    )


def _other_version(found: Search, workers: Sequence[str], worker: str) -> Rejection:
    engine = found.request.engine.value
    have = ", ".join(f"{other} has {_version(found, other)}" for other in workers if other != worker)
    return Rejection(
        reason=PlacementReason.ENGINE_VERSIONS_DIFFER,
        needed=f"the same version of {engine} on all of {', '.join(workers)}",
        available=_version(found, worker),
        remedy=f"install the same version of {engine} on them: {have}",
    )


def _alone_only(found: Search, workers: Sequence[str], worker: str) -> Rejection:
    engine = found.request.engine.value
    others = ", ".join(other for other in workers if other != worker)
    return Rejection(
        reason=PlacementReason.DISTRIBUTION_UNSUPPORTED,
        needed=f"a build of {engine} that works with other workers",
        available=_version(found, worker),
        remedy=f"install such a build on {worker}: together with {others} it would hold the model",
    )


def _version(found: Search, worker: str) -> str:
    return found.snapshot.rows.latest(worker, found.request.engine, found.request.engine_version) or "unknown"
