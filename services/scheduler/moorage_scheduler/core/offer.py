"""The memory that some workers have to give: what every search looks at."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from moorage_common.core.placement import PlacementStrategy
from moorage_common.core.states import AcceleratorKind
from moorage_scheduler.core.codes import ACCELERATORS
from moorage_scheduler.core.request import Request
from moorage_scheduler.core.snapshot import Int64s, Mask, Snapshot
from moorage_scheduler.core.ties import tie, tie_order

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Offer:
    """The memory of some workers, one row each."""

    slots: NDArray[np.intp]
    """Which worker each row is."""
    total: Int64s
    """[row, pool]: all of its bytes."""
    capacity: Int64s
    """[row, pool]: bytes that instances may hold."""
    available: Int64s
    """[row, pool]: bytes that may be claimed."""
    kinds: NDArray[np.uint8]
    """[row, pool]: the kind of the accelerator; 0: none that the model may compute on."""
    sort: NDArray[np.int32]
    """[row, pool]: position in `Snapshot.sorts` of the sort of card whose memory this is."""
    linked: NDArray[np.int32]
    """[row, pool]: number of the group of linked cards; 0: none."""
    switched: NDArray[np.int32]
    """[row, pool]: number of the group of cards on the same switches; 0: none."""
    unified: Mask
    """Whether pool 0 is the accelerators' memory, too."""
    distributes: Mask
    """Whether the worker's engine can serve one instance together with other workers."""
    exclusive: Mask
    """Whether the worker takes part in a distributed vLLM instance."""

    @property
    def has_gpu(self) -> Mask:
        """Which workers have an accelerator that the model may compute on."""
        return np.asarray((self.kinds != 0).any(axis=1))

    @property
    def shares_memory(self) -> Mask:
        """Which workers have one memory for both, and an accelerator that the model may compute on."""
        return np.asarray(self.unified & (self.kinds[:, 0] != 0))

    def rows(self, chosen: NDArray[np.intp]) -> "Offer":
        """Only these rows, in this order."""
        if every(chosen, len(self.slots)):
            return self
        return Offer(**{field.name: getattr(self, field.name)[chosen] for field in fields(self)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """One GPU of a worker that the model may compute on."""

    worker: str
    pool: str
    """Its memory: its UUID, or RAM where that is shared."""
    kind: AcceleratorKind
    total: int
    """All of its bytes."""
    capacity: int
    """Bytes that instances may hold."""
    available: int
    """Bytes that may still be claimed."""
    replicas: int
    """Instances of the same model on it."""
    tenants: int
    """Instances on it."""
    linked: int = 0
    """Number of its group of linked cards; 0: none."""
    switched: int = 0
    """Number of its group of cards on the same switches; 0: none."""


def offer(snapshot: Snapshot, request: Request, mask: Mask, cards: Mask, *, empty: bool = False) -> Offer:
    """Returns what the workers in a mask have to give.

    Args:
        snapshot: The fleet.
        request: For which engine.
        mask: [slot]: which workers.
        cards: [slot, pool]: the accelerators that the model may compute on.
        empty: As if nobody held or used anything.
    """
    slots = np.flatnonzero(mask)
    # The first so many are a slice, of which nothing needs to be copied.
    first = len(slots) > 0 and int(slots[-1]) == len(slots) - 1
    chosen = slice(len(slots)) if first else slots
    columns = snapshot.columns
    available = columns.capacity if empty else snapshot.available
    return Offer(
        slots=slots,
        total=columns.total[chosen],
        capacity=columns.capacity[chosen],
        available=available[chosen],
        kinds=np.where(cards[chosen], columns.kinds[chosen], 0).astype(np.uint8),
        sort=columns.sort[chosen],
        linked=columns.linked[chosen],
        switched=columns.switched[chosen],
        unified=columns.unified[chosen],
        distributes=snapshot.rows.builds(request.engine, request.engine_version).distributes[chosen],
        exclusive=np.zeros(len(slots), np.bool_) if empty else columns.exclusive[chosen] > 0,
    )


class View:
    """An offer, with what a search may ask about its workers one by one."""

    def __init__(
        self, snapshot: Snapshot, request: Request, given: Offer, strategy: PlacementStrategy
    ) -> None:
        self.snapshot = snapshot
        self.request = request
        self.offer = given
        self.strategy = strategy
        self._replicas: Mapping[tuple[str, str], int] = snapshot.replicas.get(request.model, {})
        self._found: dict[type, object] = {}
        self._ties: NDArray[np.uint64] | None = None
        self._ready: Mask | None = None

    def rows(self, chosen: NDArray[np.intp]) -> "View":
        """Only these rows of the offer, in this order."""
        if every(chosen, len(self.offer.slots)):
            return self
        return View(self.snapshot, self.request, self.offer.rows(chosen), self.strategy)

    def once(self, key: type[T], make: Callable[[], T]) -> T:
        """What a packing finds out about all cards of the view, and asks for again: it is made once."""
        found = self._found.get(key)
        if not isinstance(found, key):
            found = self._found[key] = make()
        return found

    def worker(self, row: int) -> str:
        """The name of a row's worker."""
        return self.snapshot.rows.at(int(self.offer.slots[row])).name

    def row_of(self, worker: str) -> int | None:
        """The row of a worker. None: it is not on offer."""
        slot = self.snapshot.rows.slots.get(worker, -1)
        found = np.flatnonzero(self.offer.slots == slot)
        return int(found[0]) if len(found) else None

    def ties(self) -> NDArray[np.uint64]:
        """[row]: numbers that order equal workers, by the request's seed."""
        if self._ties is None:
            self._ties = tie_order(self.snapshot.columns.identity[self.offer.slots], self.request.seed)
        return self._ties

    def has_artifact(self) -> Mask:
        """[row]: whether the model's artifact is ready on the worker."""
        if self._ready is None:
            slots, holders = self.snapshot.rows.slots, self.snapshot.copies.get(self.request.artifact, ())
            self._ready = np.isin(self.offer.slots, [slots[worker] for worker in holders if worker in slots])
        return self._ready

    def gpus(self, row: int) -> tuple[Gpu, ...]:
        """The GPUs of a row's worker; those that share its RAM as one."""
        slot = int(self.offer.slots[row])
        worker = self.snapshot.rows.at(slot)
        return tuple(
            Gpu(
                worker=worker.name,
                pool=pool,
                kind=kind,
                total=int(self.offer.total[row, position]),
                capacity=int(self.offer.capacity[row, position]),
                available=int(self.offer.available[row, position]),
                replicas=self._replicas.get((worker.name, pool), 0),
                tenants=int(self.snapshot.columns.tenants[slot, position]),
                linked=int(self.offer.linked[row, position]),
                switched=int(self.offer.switched[row, position]),
            )
            for position, pool in enumerate(worker.pools)
            if (kind := ACCELERATORS.member(int(self.offer.kinds[row, position]))) is not None
        )


def every(chosen: NDArray[np.intp], count: int) -> bool:
    """Tells whether rows are all that there are, in their order: then there is nothing to copy."""
    return len(chosen) == count and bool((chosen[:-1] < chosen[1:]).all())


def preference(gpu: Gpu, added: int, strategy: PlacementStrategy, seed: str) -> tuple[float, ...]:
    """What orders GPUs that could all take so many bytes, best first."""
    if strategy is PlacementStrategy.SPREAD:
        return (gpu.replicas, gpu.tenants, -gpu.available, tie(seed, gpu.worker + gpu.pool))
    fullness = (gpu.capacity - gpu.available + added) / max(1, gpu.capacity)
    return (-fullness, tie(seed, gpu.worker + gpu.pool))
