"""The fleet at one moment, immutable: columns for rules, rows for explanations.

A worker has a slot, its position in every column; a slot that no worker has is not `present`. Columns with
two dimensions have one more position per memory pool: 0 is RAM, 1 and up are accelerators in the order of
the worker's row. A worker with unified memory has only pool 0.

Snapshots share every column that did not change between them. Make them with `fleet.Fleet`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from moorage_scheduler.core.cluster import RAM, Tenant, Worker

Mask = NDArray[np.bool_]
Int64s = NDArray[np.int64]
Floats = NDArray[np.float64]

NOT_INSTALLED = -1
"""In the column `drives`: the worker does not have the engine."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Columns:
    """One array per property of workers. Codes are those of `codes`."""

    present: Mask
    identity: NDArray[np.uint64]
    """A hash of the worker's name, to break ties with."""
    state: NDArray[np.uint8]
    cordoned: Mask
    system: NDArray[np.uint8]
    architecture: NDArray[np.uint8]
    accelerators: NDArray[np.int64]
    """Bits of the kinds that the worker has."""
    unified: Mask
    drives: NDArray[np.int64]
    """[slot, engine]: bits of the kinds that the worker's build of the engine computes on, or NOT_INSTALLED."""
    kinds: NDArray[np.uint8]
    """[slot, pool]: kind of the accelerator whose memory this is. For unified memory also in pool 0."""
    capacity: Int64s
    """[slot, pool]: bytes that instances may hold."""
    claimed: Int64s
    """[slot, pool]: bytes that instances hold."""
    foreign: Int64s
    """[slot, pool]: bytes that others use."""
    tenants: NDArray[np.int32]
    """[slot, pool]: instances that hold memory there. In pool 0: all of the worker's, nominated ones too."""


class Rows:
    """The workers, by slot and by name."""

    __slots__ = ("_label_masks", "slots", "workers")

    def __init__(self, workers: tuple[Worker | None, ...], slots: Mapping[str, int]) -> None:
        self.workers = workers
        self.slots = slots
        # Rows never change, so a label's mask is found once for all snapshots that share them.
        self._label_masks: dict[tuple[str, str], Mask] = {}

    def at(self, slot: int) -> Worker:
        """The worker in a slot, which must be present."""
        worker = self.workers[slot]
        if worker is None:
            raise LookupError(f"slot {slot} is empty")
        return worker

    def with_label(self, key: str, value: str) -> Mask:
        """Which workers carry a label."""
        mask = self._label_masks.get((key, value))
        if mask is None:
            mask = np.array(
                [w is not None and w.labels.get(key) == value for w in self.workers], dtype=np.bool_
            )
            self._label_masks[key, value] = mask
        return mask


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Snapshot:
    """The fleet at one moment."""

    columns: Columns
    rows: Rows
    copies: Mapping[str, frozenset[str]]
    """Per artifact, the workers on which it is ready."""
    replicas: Mapping[str, Mapping[tuple[str, str], int]]
    """Per model, how many of its instances are at (worker, pool). At (worker, RAM): all of them there."""

    @property
    def available(self) -> Int64s:
        """[slot, pool]: bytes that a new claim can have, never negative."""
        columns = self.columns
        return np.asarray(np.maximum(columns.capacity - columns.claimed - columns.foreign, 0))

    def with_tenant(self, tenant: Tenant) -> "Snapshot":
        """The same fleet with one instance more, as if it had been bound. This snapshot stays as it is."""
        slot = self.rows.slots[tenant.worker]
        pools = self.rows.at(slot).pools
        claimed, tenants = self.columns.claimed.copy(), self.columns.tenants.copy()
        tenants[slot, 0] += 1
        for position, pool in enumerate(pools):
            if pool in tenant.claims:
                claimed[slot, position] += tenant.claims[pool]
                tenants[slot, position] += position > 0
        return replace(
            self,
            columns=replace(self.columns, claimed=claimed, tenants=tenants),
            replicas={**self.replicas, tenant.model: _one_more(self.replicas.get(tenant.model, {}), tenant)},
        )


def places(tenant: Tenant) -> set[tuple[str, str]]:
    """Where an instance counts in `Snapshot.replicas`."""
    return {(tenant.worker, RAM), *((tenant.worker, pool) for pool in tenant.claims)}


def empty_columns(slots: int, pools: int, engines: int) -> dict[str, NDArray[Any]]:
    """Columns for so many slots, with nothing in them."""
    two: tuple[int, int] = (slots, pools)
    return {
        "present": np.zeros(slots, np.bool_),
        "identity": np.zeros(slots, np.uint64),
        "state": np.zeros(slots, np.uint8),
        "cordoned": np.zeros(slots, np.bool_),
        "system": np.zeros(slots, np.uint8),
        "architecture": np.zeros(slots, np.uint8),
        "accelerators": np.zeros(slots, np.int64),
        "unified": np.zeros(slots, np.bool_),
        "drives": np.full((slots, engines), NOT_INSTALLED, np.int64),
        "kinds": np.zeros(two, np.uint8),
        "capacity": np.zeros(two, np.int64),
        "claimed": np.zeros(two, np.int64),
        "foreign": np.zeros(two, np.int64),
        "tenants": np.zeros(two, np.int32),
    }


def column_names() -> tuple[str, ...]:
    """Names of all columns."""
    return tuple(field.name for field in fields(Columns))


def _one_more(counts: Mapping[tuple[str, str], int], tenant: Tenant) -> dict[tuple[str, str], int]:
    more = dict(counts)
    for place in places(tenant):
        more[place] = more.get(place, 0) + 1
    return more
