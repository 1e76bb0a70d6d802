"""GPUs that were chosen by hand, found in the fleet."""

from collections.abc import Iterator
from dataclasses import replace

from moorage_scheduler.core.cluster import Accelerator, Worker
from moorage_scheduler.core.request import GpuWish, Request
from moorage_scheduler.core.snapshot import Snapshot


def place_of(worker: Worker, wish: GpuWish) -> int | None:
    """Returns the memory pool of a GPU among its worker's, by position. None: the worker has no such GPU."""
    for position, card in enumerate(worker.accelerators, start=1):
        if _names(wish, card):
            return 0 if worker.unified_memory else position
    return None


def by_uuid(snapshot: Snapshot, request: Request) -> Request:
    """Returns a request that names each chosen GPU that exists once, by its UUID, however often it was named."""
    if not request.selection.gpus:
        return request
    wishes = frozenset(_by_uuid(snapshot, wish) for wish in request.selection.gpus)
    return replace(request, selection=replace(request.selection, gpus=wishes))


def _by_uuid(snapshot: Snapshot, wish: GpuWish) -> GpuWish:
    slot = snapshot.rows.slots.get(wish.worker)
    cards = () if slot is None else snapshot.rows.at(slot).accelerators
    return next((GpuWish(worker=wish.worker, uuid=card.uuid) for card in cards if _names(wish, card)), wish)


def asked_cards(worker: Worker, request: Request) -> tuple[Accelerator, ...]:
    """Returns the cards of a worker that were chosen by hand, all of which must do; else all, one of which must."""
    wishes = [wish for wish in request.selection.gpus if wish.worker == worker.name]
    chosen = tuple(card for card in worker.accelerators if any(_names(wish, card) for wish in wishes))
    return chosen or worker.accelerators


def chosen_places(snapshot: Snapshot, request: Request) -> Iterator[tuple[GpuWish, int, int]]:
    """Yields each chosen GPU that exists, with the slot of its worker and the position of its pool."""
    for wish in request.selection.gpus:
        slot = snapshot.rows.slots.get(wish.worker)
        position = None if slot is None else place_of(snapshot.rows.at(slot), wish)
        if slot is not None and position is not None:
            yield wish, slot, position


def _names(wish: GpuWish, card: Accelerator) -> bool:
    if wish.uuid:
        return card.uuid == wish.uuid
    return (card.kind, card.index) == (wish.kind, wish.index)
