"""The fleet at one moment, immutable: columns for rules, rows for explanations.

A worker has a slot, its position in every column; a slot that no worker has is not `present`. Columns with
two dimensions have one more position per memory pool: 0 is RAM, 1 and up are accelerators in the order of
the worker's row. A worker with unified memory has only pool 0.

Snapshots share every column that did not change between them. Make them with `fleet.Fleet`.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from moorage_common.core.states import AcceleratorKind, EngineKind
from moorage_scheduler.core.cluster import RAM, Engine, Pool, Tenant, Worker
from moorage_scheduler.core.codes import ACCELERATORS
from moorage_scheduler.core.versions import VersionWish, order_of

Mask = NDArray[np.bool_]
Int64s = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Columns:
    """One array per property of workers. Codes are those of `codes`."""

    present: Mask
    identity: NDArray[np.uint64]
    """A hash of the worker's name, to break ties with."""
    state: NDArray[np.uint8]
    cordoned: Mask
    draining: Mask
    maintenance: Mask
    exclusive: NDArray[np.int32]
    """Distributed vLLM instances that it takes part in."""
    disk_free: Int64s
    """Bytes free for artifacts."""
    system: NDArray[np.uint8]
    architecture: NDArray[np.uint8]
    accelerators: NDArray[np.int64]
    """Bits of the kinds that the worker has."""
    unified: Mask
    kinds: NDArray[np.uint8]
    """[slot, pool]: kind of the accelerator whose memory this is. For unified memory also in pool 0."""
    capability: Int64s
    """[slot, pool]: compute capability, by `versions.number`."""
    driver: Int64s
    """[slot, pool]: version of the driver, by `versions.number`."""
    bandwidth: Floats
    """[slot, pool]: bytes a second that the accelerator reads from it at most; 0: not known."""
    linked: NDArray[np.int32]
    """[slot, pool]: number, on the worker, of the group of cards that are linked with each other; 0: none."""
    switched: NDArray[np.int32]
    """[slot, pool]: as `linked`, of the cards on the same PCIe switches."""
    total: Int64s
    """[slot, pool]: all of its bytes."""
    sort: NDArray[np.int32]
    """[slot, pool]: position in `Snapshot.sorts` of the sort of card whose memory this is."""
    capacity: Int64s
    """[slot, pool]: bytes that instances may hold."""
    claimed: Int64s
    """[slot, pool]: bytes that instances hold."""
    foreign: Int64s
    """[slot, pool]: bytes that others use."""
    tenants: NDArray[np.int32]
    """[slot, pool]: instances that hold memory there. In pool 0: all of the worker's, nominated ones too."""


@dataclass(frozen=True, slots=True)
class CardSort:
    """Cards of which a model needs the same."""

    total: int
    """All of their bytes."""
    kind: AcceleratorKind | None
    """None: no card."""


class Rows:
    """The workers, by slot and by name."""

    __slots__ = ("_builds", "_masks", "slots", "workers")

    def __init__(self, workers: tuple[Worker | None, ...], slots: Mapping[str, int]) -> None:
        self.workers = workers
        self.slots = slots
        # Rows never change, so what is read out of them is found once for all snapshots that share them.
        self._masks: dict[Hashable, Mask] = {}
        self._builds: dict[tuple[EngineKind, str], Builds] = {}

    def at(self, slot: int) -> Worker:
        """The worker in a slot, which must be present."""
        worker = self.workers[slot]
        if worker is None:
            raise LookupError(f"slot {slot} is empty")
        return worker

    def with_label(self, key: str, value: str) -> Mask:
        """Which workers carry a label."""
        return self.kept(
            ("label", key, value), lambda: self._mask(lambda worker: worker.labels.get(key) == value)
        )

    def with_path(self, path: str) -> Mask:
        """Which workers have something at a local path."""
        return self.kept(("path", path), lambda: self._mask(lambda worker: path in worker.local_paths))

    def builds(self, engine: EngineKind, version: str) -> "Builds":
        """What the workers' builds of an engine can do, of those versions that are asked for."""
        found = self._builds.get((engine, version))
        if found is None:
            wanted = VersionWish(version)
            found = Builds(
                [
                    [build for build in worker.engines.get(engine, ()) if wanted.allows(build.version)]
                    if worker
                    else []
                    for worker in self.workers
                ]
            )
            self._builds[engine, version] = found
        return found

    def latest(self, worker: str, engine: EngineKind, version: str) -> str:
        """The latest version of an engine that a worker has among those asked for. Empty: not known, or none."""
        builds = self.builds(engine, version)
        return max(builds.versions[builds.version[self.slots[worker]]], key=order_of, default="")

    def kept(self, key: Hashable, make: Callable[[], Mask]) -> Mask:
        """A mask that depends on nothing but the workers' rows and a key: it is made once."""
        mask = self._masks.get(key)
        if mask is None:
            mask = self._masks[key] = make()
        return mask

    def _mask(self, test: Callable[[Worker], bool]) -> Mask:
        return np.array([worker is not None and test(worker) for worker in self.workers], dtype=np.bool_)


class Builds:
    """What the builds of one engine can do, worker by worker."""

    def __init__(self, builds: Sequence[Sequence[Engine]]) -> None:
        self.installed: Mask = np.array([bool(each) for each in builds], dtype=np.bool_)
        self.drives: Int64s = np.array(
            [ACCELERATORS.bits(kind for build in each for kind in build.drives) for each in builds], np.int64
        )
        """[slot]: bits of the kinds that they compute on."""
        versions = [tuple(build.version for build in each) for each in builds]
        self.versions: tuple[tuple[str, ...], ...] = tuple(dict.fromkeys(versions))
        """Every set of versions that some worker has."""
        places = {each: position for position, each in enumerate(self.versions)}
        self.version: NDArray[np.intp] = np.array([places[each] for each in versions], np.intp)
        """[slot]: position of the worker's versions in `versions`."""
        self.distributes: Mask = np.array(
            [any(build.distributes for build in each) for each in builds], dtype=np.bool_
        )
        self.shared: Mapping[str, Mask] = _by_version(builds)
        """Per version, which slots have a build of it that would serve one instance together with others."""


def _by_version(builds: Sequence[Sequence[Engine]]) -> dict[str, Mask]:
    """Where no build of a worker works with others, what any of them would do if it did."""
    masks: dict[str, Mask] = {}
    for slot, each in enumerate(builds):
        for build in [build for build in each if build.distributes] or each:
            masks.setdefault(build.version, np.zeros(len(builds), np.bool_))[slot] = True
    return dict(sorted(masks.items(), key=lambda item: order_of(item[0]), reverse=True))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Snapshot:
    """The fleet at one moment."""

    columns: Columns
    rows: Rows
    sorts: Sequence[CardSort]
    """The sorts of cards in the fleet; the first stands for no card."""
    copies: Mapping[str, frozenset[str]]
    """Per artifact, the workers on which it is ready."""
    exclusives: Mapping[str, str]
    """Per worker that takes part in a distributed vLLM instance, the instance's name."""
    replicas: Mapping[str, Mapping[Pool, int]]
    """Per model, how many of its instances are at a pool. At a worker's RAM: all of them there."""

    @property
    def available(self) -> Int64s:
        """[slot, pool]: bytes that a new claim can have, never negative."""
        columns = self.columns
        return np.asarray(np.maximum(columns.capacity - columns.claimed - columns.foreign, 0))

    def with_tenant(self, name: str, tenant: Tenant) -> "Snapshot":
        """The same fleet with one instance more, as if it had been bound. This snapshot stays as it is."""
        claimed, tenants = self.columns.claimed.copy(order="K"), self.columns.tenants.copy(order="K")
        exclusive, exclusives = self.columns.exclusive, self.exclusives
        if tenant.exclusive:
            exclusive = exclusive.copy()
            exclusives = {**exclusives, **dict.fromkeys(tenant.members, name)}
        for member in tenant.members:
            slot = self.rows.slots[member]
            if tenant.exclusive:
                exclusive[slot] += 1
            tenants[slot, 0] += 1
            for position, pool in enumerate(self.rows.at(slot).pools):
                held = tenant.claims.get((member, pool), 0)
                claimed[slot, position] += held
                tenants[slot, position] += position > 0 and held > 0
        return replace(
            self,
            columns=replace(self.columns, claimed=claimed, tenants=tenants, exclusive=exclusive),
            replicas={**self.replicas, tenant.model: _one_more(self.replicas.get(tenant.model, {}), tenant)},
            exclusives=exclusives,
        )


def places(tenant: Tenant) -> set[Pool]:
    """Where an instance counts in `Snapshot.replicas`."""
    return {*((member, RAM) for member in tenant.members), *tenant.claims}


def empty_columns(slots: int, pools: int) -> dict[str, NDArray[Any]]:
    """Columns for so many slots, with nothing in them.

    Those of pools lie pool by pool in memory: what is asked most is something of all pools of every slot.
    """
    two: tuple[int, int] = (slots, pools)
    return {
        "present": np.zeros(slots, np.bool_),
        "identity": np.zeros(slots, np.uint64),
        "state": np.zeros(slots, np.uint8),
        "cordoned": np.zeros(slots, np.bool_),
        "draining": np.zeros(slots, np.bool_),
        "maintenance": np.zeros(slots, np.bool_),
        "exclusive": np.zeros(slots, np.int32),
        "disk_free": np.zeros(slots, np.int64),
        "system": np.zeros(slots, np.uint8),
        "architecture": np.zeros(slots, np.uint8),
        "accelerators": np.zeros(slots, np.int64),
        "unified": np.zeros(slots, np.bool_),
        "kinds": np.zeros(two, np.uint8, order="F"),
        "capability": np.zeros(two, np.int64, order="F"),
        "driver": np.zeros(two, np.int64, order="F"),
        "bandwidth": np.zeros(two, np.float64, order="F"),
        "linked": np.zeros(two, np.int32, order="F"),
        "switched": np.zeros(two, np.int32, order="F"),
        "total": np.zeros(two, np.int64, order="F"),
        "sort": np.zeros(two, np.int32, order="F"),
        "capacity": np.zeros(two, np.int64, order="F"),
        "claimed": np.zeros(two, np.int64, order="F"),
        "foreign": np.zeros(two, np.int64, order="F"),
        "tenants": np.zeros(two, np.int32, order="F"),
    }


def column_names() -> tuple[str, ...]:
    """Names of all columns."""
    return tuple(field.name for field in fields(Columns))


def _one_more(counts: Mapping[Pool, int], tenant: Tenant) -> dict[Pool, int]:
    more = dict(counts)
    for place in places(tenant):
        more[place] = more.get(place, 0) + 1
    return more
