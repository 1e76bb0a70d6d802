"""The fleet as it changes: takes in changes one by one, and gives out snapshots.

A snapshot costs nothing to make. A column is copied when it is next written, once, however many writes
follow before the next snapshot: a heartbeat that changes one number copies one column, one that changes
nothing copies none.
"""

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

from numpy.typing import NDArray

from moorage_common.core.states import EngineKind, WorkerState
from moorage_scheduler.core.cluster import Condition, Tenant, Worker
from moorage_scheduler.core.codes import ACCELERATORS, ARCHITECTURES, ENGINES, STATES, SYSTEMS
from moorage_scheduler.core.snapshot import (
    NOT_INSTALLED,
    Columns,
    Rows,
    Snapshot,
    column_names,
    empty_columns,
    places,
)

_FOREIGN_STEP = 64 * 2**20
"""Foreign use that sinks by less than about this many bytes is not worth another try of what waits."""


class Fleet:
    """The one mutable picture of the fleet. Not safe for threads.

    The methods that take in a change answer whether it could help an instance that found no place.
    """

    def __init__(self) -> None:
        self._columns: dict[str, NDArray[Any]] = empty_columns(16, 2, len(ENGINES))
        self._owned = set(column_names())
        self._workers: list[Worker | None] = [None] * 16
        self._slots: dict[str, int] = {}
        self._free = list(range(15, -1, -1))
        self._rows: Rows | None = None
        self._tenants: dict[str, Tenant] = {}
        self._residents: dict[str, set[str]] = {}
        self._copies: dict[str, frozenset[str]] = {}
        self._replicas: dict[str, dict[tuple[str, str], int]] = {}
        self._owned_counts: set[str] = set()
        self._shared = False

    def snapshot(self) -> Snapshot:
        """The fleet as it is now. Later changes do not show in it."""
        for column in self._owned:
            self._columns[column].flags.writeable = False
        self._owned.clear()
        self._shared = True
        if self._rows is None:
            self._rows = Rows(tuple(self._workers), dict(self._slots))
        return Snapshot(
            columns=Columns(**self._columns), rows=self._rows, copies=self._copies, replicas=self._replicas
        )

    def put_worker(self, worker: Worker, condition: Condition) -> bool:
        """Takes in a worker as it now is."""
        slot = self._slots.get(worker.name)
        changed = slot is None or self._workers[slot] != worker
        if slot is None:
            slot = self._take_slot(worker.name)
        if changed:
            self._place_row(slot, worker)
        relieved = self._put_condition(slot, worker, condition)
        return (changed or relieved) and condition.state is WorkerState.READY and not condition.cordoned

    def remove_worker(self, name: str) -> None:
        """Takes in that a worker is gone."""
        slot = self._slots.pop(name, None)
        if slot is None:
            return
        blank = empty_columns(1, self._width, len(ENGINES))
        for column, values in blank.items():
            self._own(column)[slot] = values[0]
        self._workers[slot] = None
        self._rows = None
        self._free.append(slot)

    def put_tenant(self, name: str, tenant: Tenant) -> bool:
        """Takes in an instance that is nominated or bound, as it now is."""
        before = self._tenants.get(name)
        if before == tenant:
            return False
        self._leave(name)
        self._tenants[name] = tenant
        self._residents.setdefault(tenant.worker, set()).add(name)
        self._count(tenant, 1)
        return before is not None and (before.worker != tenant.worker or not _covers(tenant, before))

    def remove_tenant(self, name: str) -> bool:
        """Takes in that an instance is neither nominated nor bound."""
        before = self._leave(name)
        return before is not None and bool(before.claims)

    def put_copy(self, artifact: str, worker: str) -> None:
        """Takes in that an artifact is ready on a worker."""
        self._set_copies(artifact, self._copies.get(artifact, frozenset()) | {worker})

    def remove_copy(self, artifact: str, worker: str) -> None:
        """Takes in that an artifact is not ready on a worker."""
        self._set_copies(artifact, self._copies.get(artifact, frozenset()) - {worker})

    @property
    def _width(self) -> int:
        return int(self._columns["capacity"].shape[1])

    def _own(self, column: str) -> NDArray[Any]:
        if column not in self._owned:
            self._columns[column] = self._columns[column].copy()
            self._owned.add(column)
        return self._columns[column]

    def _set(self, column: str, index: int | tuple[int, int], value: float) -> None:
        if self._columns[column][index] != value:
            self._own(column)[index] = value

    def _unshare(self) -> None:
        if self._shared:
            self._copies = dict(self._copies)
            self._replicas = dict(self._replicas)
            self._owned_counts.clear()
            self._shared = False

    def _own_counts(self, model: str) -> dict[tuple[str, str], int]:
        self._unshare()
        if model not in self._owned_counts:
            self._replicas[model] = dict(self._replicas.get(model, {}))
            self._owned_counts.add(model)
        return self._replicas.setdefault(model, {})

    def _set_copies(self, artifact: str, workers: frozenset[str]) -> None:
        if workers == self._copies.get(artifact, frozenset()):
            return
        self._unshare()
        self._copies[artifact] = workers
        if not workers:
            del self._copies[artifact]

    def _take_slot(self, name: str) -> int:
        if not self._free:
            self._grow(slots=2 * len(self._workers), width=self._width)
        slot = self._free.pop()
        self._slots[name] = slot
        return slot

    def _grow(self, *, slots: int, width: int) -> None:
        grown = empty_columns(slots, width, len(ENGINES))
        for name, old in self._columns.items():
            grown[name][tuple(slice(extent) for extent in old.shape)] = old
        self._free = [*range(slots - 1, len(self._workers) - 1, -1), *self._free]
        self._workers += [None] * (slots - len(self._workers))
        self._columns, self._owned, self._rows = grown, set(grown), None

    def _place_row(self, slot: int, worker: Worker) -> None:
        if len(worker.pools) > self._width:
            self._grow(slots=len(self._workers), width=len(worker.pools))
        self._workers[slot] = worker
        self._rows = None
        digest = blake2b(worker.name.encode(), digest_size=8).digest()
        self._set("present", slot, value=True)
        self._own("identity")[slot] = int.from_bytes(digest)
        self._set("system", slot, SYSTEMS.of(worker.operating_system))
        self._set("architecture", slot, ARCHITECTURES.of(worker.cpu_architecture))
        self._set("accelerators", slot, ACCELERATORS.bits(card.kind for card in worker.accelerators))
        self._set("unified", slot, worker.unified_memory)
        for kind in EngineKind:
            engine = worker.engines.get(kind)
            drives = NOT_INSTALLED if engine is None else ACCELERATORS.bits(engine.drives)
            self._set("drives", (slot, ENGINES.of(kind)), drives)
        kinds = [ACCELERATORS.of(card.kind) for card in worker.accelerators]
        row = kinds[:1] if worker.unified_memory else [0, *kinds]
        self._own("kinds")[slot] = row + [0] * (self._width - len(row))
        self._own("capacity")[slot] = 0
        self._own("foreign")[slot] = 0
        self._recount(slot, worker)

    def _put_condition(self, slot: int, worker: Worker, condition: Condition) -> bool:
        columns = self._columns
        was_away = columns["state"][slot] != STATES.of(WorkerState.READY) or columns["cordoned"][slot]
        self._set("state", slot, STATES.of(condition.state))
        self._set("cordoned", slot, condition.cordoned)
        roomier = False
        for position, pool in enumerate(worker.pools):
            at = (slot, position)
            capacity, foreign = condition.capacity.get(pool, 0), condition.foreign.get(pool, 0)
            roomier |= bool(capacity > columns["capacity"][at])
            roomier |= bool(foreign // _FOREIGN_STEP < columns["foreign"][at] // _FOREIGN_STEP)
            self._set("capacity", at, capacity)
            self._set("foreign", at, foreign)
        return roomier or bool(was_away)

    def _recount(self, slot: int, worker: Worker) -> None:
        self._own("claimed")[slot] = 0
        self._own("tenants")[slot] = 0
        for name in self._residents.get(worker.name, ()):
            self._add(slot, worker, self._tenants[name], 1)

    def _leave(self, name: str) -> Tenant | None:
        tenant = self._tenants.pop(name, None)
        if tenant is not None:
            self._residents[tenant.worker].discard(name)
            if not self._residents[tenant.worker]:
                del self._residents[tenant.worker]
            self._count(tenant, -1)
        return tenant

    def _count(self, tenant: Tenant, sign: int) -> None:
        counts = self._own_counts(tenant.model)
        for place in places(tenant):
            counts[place] = counts.get(place, 0) + sign
            if not counts[place]:
                del counts[place]
        if not counts:
            del self._replicas[tenant.model]
        slot = self._slots.get(tenant.worker)
        if slot is not None and (worker := self._workers[slot]) is not None:
            self._add(slot, worker, tenant, sign)

    def _add(self, slot: int, worker: Worker, tenant: Tenant, sign: int) -> None:
        claimed, tenants = self._own("claimed"), self._own("tenants")
        tenants[slot, 0] += sign
        for position, pool in enumerate(worker.pools):
            if pool in tenant.claims:
                claimed[slot, position] += sign * tenant.claims[pool]
                tenants[slot, position] += sign * (position > 0)


def _covers(tenant: Tenant, before: Tenant) -> bool:
    held: Mapping[str, int] = tenant.claims
    return all(held.get(pool, 0) >= size for pool, size in before.claims.items())
