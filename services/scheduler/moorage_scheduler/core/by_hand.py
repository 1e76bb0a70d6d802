"""What was chosen by hand is used, or refused as a whole: it is never shrunk to what is there.

The user may mean another worker or card than was typed, and counts on those that were.
"""

from collections import defaultdict

from moorage_common.core.placement import PlacementReason
from moorage_scheduler.core.explanation import Rejection, WorkerExplanation
from moorage_scheduler.core.request import GpuWish, Request
from moorage_scheduler.core.sieve import Sieve
from moorage_scheduler.core.snapshot import Snapshot
from moorage_scheduler.core.wishes import place_of


def refused_by_hand(
    snapshot: Snapshot, request: Request, sieve: Sieve, *, transient: bool
) -> tuple[WorkerExplanation, ...]:
    """Returns the workers because of which the choice is refused, by name.

    Args:
        snapshot: The fleet.
        request: With what was chosen.
        sieve: What the filters said.
        transient: Whether what may pass another time counts, too.
    """
    unknown = sorted(_named(request) - snapshot.rows.slots.keys())
    refused = [WorkerExplanation(worker=name, rejections=(_unknown_worker(name),)) for name in unknown]
    usable = sieve.passed if transient else sieve.suitable
    wishes: defaultdict[str, list[GpuWish]] = defaultdict(list)
    for wish in request.selection.gpus:
        if wish.worker in snapshot.rows.slots:
            wishes[wish.worker].append(wish)
    for worker in sorted(wishes):
        slot = snapshot.rows.slots[worker]
        why = _refused(snapshot, sieve, slot, wishes[worker], usable=bool(usable[slot]))
        if why:
            refused.append(WorkerExplanation(worker=worker, rejections=why))
    return tuple(refused)


def _named(request: Request) -> set[str]:
    selection = request.selection
    named = {*selection.workers, *(wish.worker for wish in selection.gpus)}
    return named | {selection.primary_worker} if selection.primary_worker else named


def _refused(
    snapshot: Snapshot, sieve: Sieve, slot: int, wishes: list[GpuWish], *, usable: bool
) -> tuple[Rejection, ...]:
    worker = snapshot.rows.at(slot)
    places = {wish: place_of(worker, wish) for wish in wishes}
    unknown = sorted(str(wish) for wish, place in places.items() if place is None)
    if unknown:
        has = ", ".join(sorted(card.uuid for card in worker.accelerators)) or "none"
        return tuple(
            Rejection(
                reason=PlacementReason.GPU_UNKNOWN,
                needed=wish,
                available=has,
                remedy=f"choose among the GPUs of {worker.name}, or leave it out",
            )
            for wish in unknown
        )
    cards = [place for place in places.values() if place is not None]
    if usable and sieve.cards[slot, cards].all():
        return ()
    return sieve.rejections(slot, cards)


def _unknown_worker(name: str) -> Rejection:
    return Rejection(
        reason=PlacementReason.WORKER_UNKNOWN,
        needed=name,
        available="none",
        remedy=f"register {name}, or leave it out of the placement",
    )
