"""Workers on paper: what is not said of them is as usual, or as the table of accelerators has it."""

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from moorage.scheduler.v1 import simulation_pb2 as pb
from moorage_common.core.placement import CpuArchitecture, OperatingSystem
from moorage_common.core.states import AcceleratorKind, EngineKind, WorkerState
from moorage_common.rpc.enums import ACCELERATOR_KIND, CPU_ARCHITECTURE, OPERATING_SYSTEM, WORKER_STATE
from moorage_scheduler.convert.problems import Problems
from moorage_scheduler.convert.workers import bandwidth_of, engines_from_proto
from moorage_scheduler.core.cluster import RAM, Accelerator, Condition, Engine, Worker
from moorage_scheduler.core.versions import parse
from moorage_scheduler.filters.compatibility import COMPATIBILITY


class Product(Protocol):
    """What the table of accelerators knows of a card."""

    @property
    def kind(self) -> AcceleratorKind:
        """How it is driven."""
        ...

    @property
    def memory_bytes(self) -> int:
        """Its memory. 0: it shares the CPU's."""
        ...

    @property
    def compute_capability(self) -> str:
        """E.g. "8.9". Empty: it has none."""
        ...


Table = Callable[[str], Product | None]
"""Looks a product up. None: nothing is known of it."""
Wishes = Mapping[EngineKind, frozenset[str]]
"""Versions of engines that models ask for, word by word."""


class WorkerReader:
    """Reads workers one by one.

    Args:
        table: Knows cards by their products.
        wishes: What models ask for, which a worker that says nothing of its engines has.
        problems: Takes in what is wrong.
    """

    def __init__(self, *, table: Table, wishes: Wishes, problems: Problems) -> None:
        self._table = table
        self._problems = problems
        self._engines = {kind: _any_build(kind, wishes.get(kind, frozenset())) for kind in EngineKind}
        self._names: dict[str, str] = {}
        self._uuids: dict[str, str] = {}

    def read(self, worker: pb.SimulatedWorker, path: str) -> tuple[Worker, Condition]:
        """Returns what a worker is and has.

        Args:
            worker: As the request has it.
            path: Where in the request.
        """
        first = self._names.setdefault(worker.name, path)
        if first != path:
            self._problems.add(f"{path}.name", f"{worker.name} is given already, by {first}")
        kinds = [self._kind(card, f"{path}.accelerators[{i}]") for i, card in enumerate(worker.accelerators)]
        cards = self._cards(worker, kinds, path)
        unified = worker.unified_memory and bool(cards)
        total = {RAM: worker.ram_total_bytes}
        reserved = {RAM: worker.ram_reserved_bytes}
        foreign = {RAM: worker.ram_foreign_bytes}
        if not unified:
            for position, (card, said) in enumerate(zip(cards, worker.accelerators, strict=True)):
                total[card.uuid] = self._memory(said, f"{path}.accelerators[{position}]")
                reserved[card.uuid], foreign[card.uuid] = (
                    said.memory_reserved_bytes,
                    said.memory_foreign_bytes,
                )
        return (
            Worker(
                name=worker.name,
                operating_system=_system(worker),
                cpu_architecture=_architecture(worker),
                labels=dict(worker.labels),
                accelerators=cards,
                engines=engines_from_proto(worker.engines) if worker.engines else self._engines,
                unified_memory=unified,
                local_paths=frozenset(worker.local_paths),
                ram_bytes_per_s=worker.ram_bytes_per_s,
                network_bytes_per_s=worker.network_bytes_per_s,
            ),
            Condition(
                state=WORKER_STATE.from_proto(worker.state) if worker.state else WorkerState.READY,
                cordoned=worker.cordoned,
                draining=worker.draining,
                maintenance=worker.maintenance,
                disk_free=worker.disk_free_bytes if worker.HasField("disk_free_bytes") else None,
                total=total,
                capacity={pool: max(0, size - reserved[pool]) for pool, size in total.items()},
                foreign=foreign,
            ),
        )

    def _kind(self, card: pb.SimulatedAccelerator, path: str) -> AcceleratorKind:
        if card.kind:
            return ACCELERATOR_KIND.from_proto(card.kind)
        product = self._table(card.product)
        if product is None:
            self._problems.add(f"{path}.kind", f"{_unknown(card)}: say how it is driven")
        return product.kind if product else AcceleratorKind.CUDA

    def _memory(self, card: pb.SimulatedAccelerator, path: str) -> int:
        product = self._table(card.product)
        size = card.memory_total_bytes or (product.memory_bytes if product else 0)
        if not size:
            told = "shares the CPU's memory, as unified_memory would say" if product else _unknown(card)
            self._problems.add(f"{path}.memory_total_bytes", f"{told}: say how much memory it has")
        return size

    def _cards(
        self, worker: pb.SimulatedWorker, kinds: list[AcceleratorKind], path: str
    ) -> tuple[Accelerator, ...]:
        indices = self._indices(worker.accelerators, kinds, path)
        cards = []
        for position, said in enumerate(worker.accelerators):
            known = self._table(said.product)
            capability = said.compute_capability or (known.compute_capability if known else "")
            cards.append(
                Accelerator(
                    uuid=said.uuid or f"{kinds[position].lower()}-{indices[position]}",
                    kind=kinds[position],
                    index=indices[position],
                    product=said.product,
                    capability=parse(capability),
                    driver=parse(said.driver_version),
                    bytes_per_s=bandwidth_of(said.product),
                    link_group=said.link_group,
                    switch_group=said.switch_group,
                )
            )
        self._check_uuids(worker, cards, path)
        return tuple(cards)

    def _indices(
        self, cards: Iterable[pb.SimulatedAccelerator], kinds: list[AcceleratorKind], path: str
    ) -> list[int]:
        """Returns each card's position among those of its kind: the one given, else the first that is free."""
        cards = list(cards)
        taken: dict[tuple[AcceleratorKind, int], int] = {}
        for position, (card, kind) in enumerate(zip(cards, kinds, strict=True)):
            if card.HasField("index") and taken.setdefault((kind, card.index), position) != position:
                told = f"{kind.lower()} {card.index} is given already"
                self._problems.add(f"{path}.accelerators[{position}].index", told)
        free = dict.fromkeys(AcceleratorKind, 0)
        indices = []
        for card, kind in zip(cards, kinds, strict=True):
            if not card.HasField("index"):
                while (kind, free[kind]) in taken:
                    free[kind] += 1
                taken[kind, free[kind]] = -1
            indices.append(card.index if card.HasField("index") else free[kind])
        return indices

    def _check_uuids(self, worker: pb.SimulatedWorker, cards: list[Accelerator], path: str) -> None:
        own: dict[str, int] = {}
        for position, card in enumerate(cards):
            at = f"{path}.accelerators[{position}].uuid"
            given = worker.accelerators[position].uuid
            elsewhere = self._uuids.setdefault(given, path) if given else path
            if card.uuid == RAM:
                self._problems.add(at, f"{RAM!r} is the name of another pool of memory")
            elif own.setdefault(card.uuid, position) != position or elsewhere != path:
                self._problems.add(at, f"{card.uuid} identifies another card already")


def _unknown(card: pb.SimulatedAccelerator) -> str:
    return f"nothing is known of {card.product!r}" if card.product else "no product is given"


def _any_build(kind: EngineKind, versions: frozenset[str]) -> tuple[Engine, ...]:
    """Returns builds of an engine in whatever version is asked for: one whose version is the very wish grants it."""
    drives = COMPATIBILITY[kind].accelerators
    return tuple(Engine(version=version, drives=drives) for version in ("", *sorted(versions)))


def _system(worker: pb.SimulatedWorker) -> OperatingSystem:
    if not worker.operating_system:
        return OperatingSystem.LINUX
    return OPERATING_SYSTEM.from_proto(worker.operating_system)


def _architecture(worker: pb.SimulatedWorker) -> CpuArchitecture:
    if not worker.cpu_architecture:
        return CpuArchitecture.X86_64
    return CPU_ARCHITECTURE.from_proto(worker.cpu_architecture)
