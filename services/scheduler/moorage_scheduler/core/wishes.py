"""GPUs that were chosen by hand, found in the fleet."""

from collections.abc import Iterator

from moorage_scheduler.core.cluster import Worker
from moorage_scheduler.core.request import GpuWish, Request
from moorage_scheduler.core.snapshot import Snapshot


def place_of(worker: Worker, wish: GpuWish) -> int | None:
    """Returns the memory pool of a GPU among its worker's, by position. None: the worker has no such GPU."""
    for position, card in enumerate(worker.accelerators, start=1):
        named = card.uuid == wish.uuid if wish.uuid else (card.kind, card.index) == (wish.kind, wish.index)
        if named:
            return 0 if worker.unified_memory else position
    return None


def chosen_places(snapshot: Snapshot, request: Request) -> Iterator[tuple[GpuWish, int, int]]:
    """Yields each chosen GPU that exists, with the slot of its worker and the position of its pool."""
    for wish in request.selection.gpus:
        slot = snapshot.rows.slots.get(wish.worker)
        position = None if slot is None else place_of(snapshot.rows.at(slot), wish)
        if slot is not None and position is not None:
            yield wish, slot, position
