"""The fleet as it changes: takes in changes one by one, and gives out snapshots.

A snapshot costs nothing to make. A column is copied when it is next written, once, however many writes
follow before the next snapshot: a heartbeat that changes one number copies one column, one that changes
nothing copies none.
"""

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Any

from numpy.typing import NDArray

from moorage_common.core.states import WorkerState
from moorage_scheduler.core.cluster import Condition, Pool, Tenant, Worker
from moorage_scheduler.core.codes import ACCELERATORS, ARCHITECTURES, STATES, SYSTEMS
from moorage_scheduler.core.snapshot import (
    CardSort,
    Columns,
    Rows,
    Snapshot,
    column_names,
    empty_columns,
    places,
)
from moorage_scheduler.core.versions import number

_FOREIGN_STEP = 64 * 2**20
"""Foreign use that sinks by less than about this many bytes is not worth another try of what waits."""
_DISK_STEP = 2**30
"""Nor is disk room that grows by less than this."""
_ENOUGH_DISK = 2**62
_OF_CARDS = (
    "kinds", "capability", "driver", "bandwidth", "linked", "switched", "total", "sort", "capacity", "foreign",
)  # fmt: skip


class Fleet:
    """The one mutable picture of the fleet. Not safe for threads.

    The methods that take in a change answer whether it could help an instance that found no place.
    """

    def __init__(self) -> None:
        self._columns: dict[str, NDArray[Any]] = empty_columns(16, 2)
        self._owned = set(column_names())
        self._workers: list[Worker | None] = [None] * 16
        self._slots: dict[str, int] = {}
        self._free = list(range(15, -1, -1))
        self._rows: Rows | None = None
        self._tenants: dict[str, Tenant] = {}
        self._residents: dict[str, set[str]] = {}
        self._copies: dict[str, frozenset[str]] = {}
        self._replicas: dict[str, dict[Pool, int]] = {}
        self._exclusives: dict[str, str] = {}
        self._sorts: dict[CardSort, int] = {CardSort(0, None): 0}
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
            columns=Columns(**self._columns),
            rows=self._rows,
            sorts=tuple(self._sorts),
            copies=self._copies,
            exclusives=self._exclusives,
            replicas=self._replicas,
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
        return (changed or relieved) and takes_instances(condition)

    def remove_worker(self, name: str) -> None:
        """Takes in that a worker is gone."""
        slot = self._slots.pop(name, None)
        if slot is None:
            return
        blank = empty_columns(1, self._width)
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
        for member in tenant.members:
            self._residents.setdefault(member, set()).add(name)
        self._count(tenant, 1)
        return before is not None and not _covers(tenant, before)

    def remove_tenant(self, name: str) -> bool:
        """Takes in that an instance is neither nominated nor bound."""
        before = self._leave(name)
        return before is not None and bool(before.claims)

    def put_copy(self, artifact: str, worker: str) -> bool:
        """Takes in that an artifact is ready on a worker."""
        before = self._copies.get(artifact, frozenset())
        self._set_copies(artifact, before | {worker})
        return worker not in before

    def put_copies(self, artifact: str, workers: Iterable[str]) -> None:
        """Takes in that an artifact is ready on many workers."""
        self._set_copies(artifact, self._copies.get(artifact, frozenset()).union(workers))

    def remove_copy(self, artifact: str, worker: str) -> None:
        """Takes in that an artifact is not ready on a worker."""
        self._set_copies(artifact, self._copies.get(artifact, frozenset()) - {worker})

    @property
    def _width(self) -> int:
        return int(self._columns["capacity"].shape[1])

    def _own(self, column: str) -> NDArray[Any]:
        if column not in self._owned:
            self._columns[column] = self._columns[column].copy(order="K")
            self._owned.add(column)
        return self._columns[column]

    def _set(self, column: str, index: int | tuple[int, int], value: float) -> None:
        if self._columns[column][index] != value:
            self._own(column)[index] = value

    def _unshare(self) -> None:
        if self._shared:
            self._copies = dict(self._copies)
            self._replicas = dict(self._replicas)
            self._exclusives = dict(self._exclusives)
            self._owned_counts.clear()
            self._shared = False

    def _own_counts(self, model: str) -> dict[Pool, int]:
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
        grown = empty_columns(slots, width)
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
        for column in _OF_CARDS:
            self._own(column)[slot] = 0
        cards = worker.accelerators[:1] if worker.unified_memory else worker.accelerators
        links = _numbered(card.link_group for card in cards)
        switches = _numbered(card.switch_group for card in cards)
        for position, card in enumerate(cards, start=0 if worker.unified_memory else 1):
            at = (slot, position)
            self._set("kinds", at, ACCELERATORS.of(card.kind))
            self._set("capability", at, number(card.capability))
            self._set("driver", at, number(card.driver))
            self._set("bandwidth", at, card.bytes_per_s)
            self._set("linked", at, links[card.link_group])
            self._set("switched", at, switches[card.switch_group])
        self._recount(slot, worker)

    def _put_condition(self, slot: int, worker: Worker, condition: Condition) -> bool:
        columns = self._columns
        was_away = columns["state"][slot] != STATES.of(WorkerState.READY) or any(
            columns[column][slot] for column in ("cordoned", "draining", "maintenance")
        )
        disk_free = _ENOUGH_DISK if condition.disk_free is None else condition.disk_free
        roomier = bool(disk_free // _DISK_STEP > columns["disk_free"][slot] // _DISK_STEP)
        self._set("state", slot, STATES.of(condition.state))
        self._set("cordoned", slot, condition.cordoned)
        self._set("draining", slot, condition.draining)
        self._set("maintenance", slot, condition.maintenance)
        self._set("disk_free", slot, disk_free)
        for position, pool in enumerate(worker.pools):
            at = (slot, position)
            capacity, foreign = condition.capacity.get(pool, 0), condition.foreign.get(pool, 0)
            roomier |= bool(capacity > columns["capacity"][at])
            roomier |= bool(foreign // _FOREIGN_STEP < columns["foreign"][at] // _FOREIGN_STEP)
            total = condition.total.get(pool, capacity)
            kind = ACCELERATORS.member(int(columns["kinds"][at]))
            sort = CardSort(total, kind) if kind else CardSort(0, None)
            self._set("total", at, total)
            self._set("sort", at, self._sorts.setdefault(sort, len(self._sorts)))
            self._set("capacity", at, capacity)
            self._set("foreign", at, foreign)
        return roomier or bool(was_away)

    def _recount(self, slot: int, worker: Worker) -> None:
        self._own("claimed")[slot] = 0
        self._own("tenants")[slot] = 0
        self._own("exclusive")[slot] = 0
        for name in self._residents.get(worker.name, ()):
            self._add(slot, worker, self._tenants[name], 1)

    def _leave(self, name: str) -> Tenant | None:
        tenant = self._tenants.pop(name, None)
        if tenant is not None:
            for member in tenant.members:
                self._residents[member].discard(name)
                if not self._residents[member]:
                    del self._residents[member]
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
        for member in tenant.members:
            if tenant.exclusive:
                self._note_exclusive(member)
            slot = self._slots.get(member)
            if slot is not None and (worker := self._workers[slot]) is not None:
                self._add(slot, worker, tenant, sign)

    def _note_exclusive(self, member: str) -> None:
        self._unshare()
        serving = [name for name in self._residents.get(member, ()) if self._tenants[name].exclusive]
        if serving:
            self._exclusives[member] = min(serving)
        else:
            self._exclusives.pop(member, None)

    def _add(self, slot: int, worker: Worker, tenant: Tenant, sign: int) -> None:
        claimed, tenants = self._own("claimed"), self._own("tenants")
        tenants[slot, 0] += sign
        if tenant.exclusive:
            self._own("exclusive")[slot] += sign
        for position, pool in enumerate(worker.pools):
            held = tenant.claims.get((worker.name, pool), 0)
            if held:
                claimed[slot, position] += sign * held
                tenants[slot, position] += sign * (position > 0)


def takes_instances(condition: Condition) -> bool:
    """Whether a worker in this condition is given new instances."""
    away = condition.cordoned or condition.draining or condition.maintenance
    return condition.state is WorkerState.READY and not away


def _numbered(groups: Iterable[str]) -> dict[str, int]:
    """Numbers for names of groups, from 1; 0 for none."""
    numbers = {"": 0}
    for group in groups:
        numbers.setdefault(group, len(numbers))
    return numbers


def _covers(tenant: Tenant, before: Tenant) -> bool:
    """Whether an instance stands in the way of all that it stood in the way of before."""
    if tenant.members != before.members or (before.exclusive and not tenant.exclusive):
        return False
    held: Mapping[Pool, int] = tenant.claims
    return all(held.get(pool, 0) >= size for pool, size in before.claims.items())
