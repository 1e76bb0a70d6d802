"""The whole mesh on a page, for `moor top`: what wants attention comes first, for a window may cut off the end."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, tzinfo
from typing import Protocol

from moorage.registry.v1.instance_pb2 import Instance, InstanceState
from moorage.registry.v1.model_pb2 import Model
from moorage.registry.v1.worker_pb2 import MemoryPool, Worker, WorkerState
from moorage_cli.views.facts import held_bytes
from moorage_cli.views.page import Bar, Cell, Line, Page, Rows, Tone
from moorage_cli.views.standing import (
    instance_place,
    instance_standing,
    wanted_replicas,
    why_not,
    worker_standing,
)
from moorage_cli.views.watching import clock
from moorage_cli.views.words import age, duration, plural, short, size

_CALM = (InstanceState.INSTANCE_STATE_RUNNING, InstanceState.INSTANCE_STATE_STOPPED)


class Fleet(Protocol):
    """The part of the informer's snapshot that is looked at."""

    @property
    def workers(self) -> Mapping[str, Worker]: ...  # noqa: D102
    @property
    def models(self) -> Mapping[str, Model]: ...  # noqa: D102
    @property
    def instances(self) -> Mapping[str, Instance]: ...  # noqa: D102


def overview_page(fleet: Fleet, *, now: datetime, silent_s: float = 0.0, zone: tzinfo | None = None) -> Page:
    """Returns workers with their memory, and instances.

    Args:
        fleet: What there is.
        now: To tell ages by.
        silent_s: How long the registry has not answered; what is shown is as old.
        zone: Of the time. None: the local one.
    """
    workers = sorted(fleet.workers.values(), key=_worker_order)
    instances = sorted(fleet.instances.values(), key=_instance_order)
    page: list[Line | Rows] = [Line(f"{clock(now, zone=zone)}  {_counts(fleet)}", Tone.STRONG)]
    if silent_s:
        told = f"The registry does not answer: this is how things were {duration(silent_s)} ago."
        page.append(Line(told, Tone.TROUBLE))
    if workers:
        page += [Line(), memory_rows(workers)]
    if instances:
        page += [Line(), running_rows(instances, now=now)]
    return page


def memory_rows(workers: Iterable[Worker]) -> Rows:
    """Returns one row per memory pool of each worker."""
    return Rows(
        ("WORKER", "STATE", "POOL", "MEMORY", "CLAIMED █", "FOREIGN ▒", "RESERVED ▚", "FREE ░"),
        tuple(row for worker in workers for row in _pool_cells(worker)),
    )


def running_rows(instances: Iterable[Instance], *, now: datetime) -> Rows:
    """Returns one row per instance."""
    return Rows(
        ("INSTANCE", "STATE", "WORKER", "MEMORY", "SINCE", "ENDPOINT, OR WHY NOT"),
        tuple(
            (
                short(each.name),
                instance_standing(each),
                instance_place(each),
                size(held_bytes(each)),
                age(each.state_time, now=now),
                each.endpoint or why_not(each),
            )
            for each in instances
        ),
    )


def _pool_cells(worker: Worker) -> Iterator[tuple[Cell, ...]]:
    products = {
        each.uuid: f"{each.index} {each.product.removeprefix('NVIDIA ')}"
        for each in worker.facts.accelerators
    }
    pools = [worker.ram, *worker.accelerator_memory]
    for position, pool in enumerate(pools):
        first = position == 0
        yield (
            short(worker.name) if first else "",
            worker_standing(worker) if first else "",
            "RAM" if pool.pool in ("ram", "") else products.get(pool.pool, pool.pool),
            _bar(pool),
            size(pool.claimed_bytes),
            size(pool.foreign_bytes),
            size(pool.reserved_bytes),
            size(pool.available_bytes),
        )


def _bar(pool: MemoryPool) -> Bar:
    return Bar(
        claimed=pool.claimed_bytes,
        foreign=pool.foreign_bytes,
        reserved=pool.reserved_bytes,
        total=pool.total_bytes,
    )


def _counts(fleet: Fleet) -> str:
    ready = sum(1 for each in fleet.workers.values() if each.state == WorkerState.WORKER_STATE_READY)
    running = sum(
        1 for each in fleet.instances.values() if each.state == InstanceState.INSTANCE_STATE_RUNNING
    )
    wanted = sum(wanted_replicas(model) for model in fleet.models.values())
    models = plural(len(fleet.models), "model")
    workers = f"{ready} of {plural(len(fleet.workers), 'worker')} ready"
    return f"{workers}, {models}, {running} of {plural(wanted, 'wanted instance')} running"


def _worker_order(worker: Worker) -> tuple[bool, int, str]:
    # Those that cannot be given work, then the fullest.
    least = min(
        (pool.available_bytes for pool in worker.accelerator_memory), default=worker.ram.available_bytes
    )
    return worker.state == WorkerState.WORKER_STATE_READY, least, worker.name


def _instance_order(instance: Instance) -> tuple[bool, str]:
    return instance.state in _CALM, instance.name
