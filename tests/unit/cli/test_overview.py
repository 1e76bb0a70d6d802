from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from moorage.registry.v1.instance_pb2 import Instance, InstanceState
from moorage.registry.v1.model_pb2 import DesiredState, Model
from moorage.registry.v1.worker_pb2 import Accelerator, MemoryPool, NodeFacts, Worker, WorkerState
from moorage_cli.views.overview import overview_page
from moorage_cli.views.page import Bar, Line, Rows

NOW = datetime(2026, 1, 1, 3, 12, 7, tzinfo=UTC)


@dataclass
class Seen:
    workers: Mapping[str, Worker] = field(default_factory=dict)
    models: Mapping[str, Model] = field(default_factory=dict)
    instances: Mapping[str, Instance] = field(default_factory=dict)


def worker(name: str, state: WorkerState.ValueType, *, free: int) -> Worker:
    return Worker(
        name=f"workers/{name}",
        state=state,
        facts=NodeFacts(accelerators=[Accelerator(uuid="GPU-1", index=0, product="NVIDIA L40S")]),
        ram=MemoryPool(pool="ram", total_bytes=100, available_bytes=100),
        accelerator_memory=[
            MemoryPool(
                pool="GPU-1",
                total_bytes=100,
                claimed_bytes=80 - free,
                foreign_bytes=15,
                reserved_bytes=5,
                available_bytes=free,
            )
        ],
    )


def instance(name: str, state: InstanceState.ValueType) -> Instance:
    return Instance(name=f"models/a/instances/{name}", state=state, worker="workers/full")


FLEET = Seen(
    workers={
        each.name: each
        for each in (
            worker("empty", WorkerState.WORKER_STATE_READY, free=80),
            worker("full", WorkerState.WORKER_STATE_READY, free=10),
            worker("lost", WorkerState.WORKER_STATE_UNREACHABLE, free=80),
        )
    },
    models={"models/a": Model(name="models/a", replicas=3, desired_state=DesiredState.DESIRED_STATE_RUNNING)},
    instances={
        each.name: each
        for each in (
            instance("1", InstanceState.INSTANCE_STATE_RUNNING),
            instance("2", InstanceState.INSTANCE_STATE_ERROR),
        )
    },
)


def test_what_wants_attention_comes_first() -> None:
    heading, _, memory, _, running = overview_page(FLEET, now=NOW, zone=UTC)
    assert isinstance(heading, Line)
    assert heading.text == ("03:12:07  2 of 3 workers ready, 1 model, 1 of 3 wanted instances running")
    assert isinstance(memory, Rows)
    assert [cells[0] for cells in memory.cells if cells[0]] == ["lost", "full", "empty"]
    assert isinstance(running, Rows)
    assert [cells[:2] for cells in running.cells] == [("a/2", "ERROR"), ("a/1", "RUNNING")]


def test_each_pool_has_a_bar_and_figures() -> None:
    memory = overview_page(FLEET, now=NOW, zone=UTC)[2]
    assert isinstance(memory, Rows)
    assert memory.cells[2:4] == (
        (
            "full", "READY", "RAM",
            Bar(claimed=0, foreign=0, reserved=0, total=100), "0 B", "0 B", "0 B", "100 B",
        ),
        (
            "", "", "0 L40S",
            Bar(claimed=70, foreign=15, reserved=5, total=100), "70 B", "15 B", "5 B", "10 B",
        ),
    )  # fmt: skip
    assert {len(cells) for cells in memory.cells} == {len(memory.columns)}


def test_a_registry_that_does_not_answer_is_said() -> None:
    line = overview_page(FLEET, now=NOW, silent_s=90, zone=UTC)[1]
    assert isinstance(line, Line)
    assert line.text == "The registry does not answer: this is how things were 1 min ago."


def test_an_empty_mesh_is_a_line() -> None:
    (line,) = overview_page(Seen(), now=NOW, zone=UTC)
    assert isinstance(line, Line)
    assert "0 of 0 workers ready, 0 models" in line.text
