"""One word in place of a mapping: "2 x L40S", "gpu-01/cuda:0", "vllm 0.11".

Each function raises a `ValueError` that says what would be allowed.
"""

import re

from moorage.common.v1.engine_pb2 import EngineKind
from moorage.common.v1.placement_pb2 import MemoryClaim
from moorage.registry.v1.model_pb2 import GpuSelector
from moorage.registry.v1.worker_pb2 import AcceleratorKind, InstalledEngine
from moorage.scheduler.v1.simulation_pb2 import SimulatedAccelerator, SimulatedCopy, SimulatedWorker
from moorage_cli.names import worker_of
from moorage_cli.simulation.scalars import enum_value, quoted, size

MOST = 20_000
"""What is written once can stand for so many at most."""

_TIMES = re.compile(r"(?P<count>\d+)\s*x\s+(?P<what>\S.*)")
_POSITION = re.compile(r"(?P<kind>[A-Za-z]+):(?P<index>\d{1,6})")


def times(text: str) -> tuple[int, str]:
    """Returns how many of what: (2, "L40S") for "2 x L40S", (1, "L40S") for "L40S"."""
    found = _TIMES.fullmatch(text.strip())
    if found is None:
        return 1, text.strip()
    # Longer than any number that is allowed, and than Python reads.
    count = int(found["count"]) if len(found["count"]) < len(str(MOST)) + 1 else MOST + 1
    if not 1 <= count <= MOST:
        raise ValueError(f"{quoted(text)} is not 1 to {MOST:,} of something")
    return count, found["what"].strip()


def read_cards(text: str, card: SimulatedAccelerator) -> int:
    """Reads "2 x L40S" or "L40S"."""
    count, product = times(text)
    if product.isdigit():
        raise ValueError(f"{quoted(text)} says not of what; write it as in 2 x L40S")
    card.product = product
    return count


def number_card(card: SimulatedAccelerator, position: int) -> None:
    """Tells the cards of a `count` from each other."""
    if card.uuid:
        raise ValueError("each card has a uuid of its own: write them one by one")
    if card.HasField("index"):
        card.index += position


def number_worker(worker: SimulatedWorker, position: int) -> None:
    """Tells the workers of a `count` from each other: gpu-1, gpu-2 and so on."""
    if any(card.uuid for card in worker.accelerators):
        raise ValueError("each card has a uuid of its own: write these workers one by one")
    worker.name += f"-{position + 1}"


def read_copy(text: str, copy: SimulatedCopy) -> int:
    """Reads the name of an artifact that is on a worker whole."""
    copy.artifact = text
    return 1


def read_engine(text: str, engine: InstalledEngine) -> int:
    """Reads "vllm" or "llama.cpp b6500": a build for whatever cards the worker has."""
    kind, _, version = text.strip().partition(" ")
    engine.kind = EngineKind.ValueType(enum_value(kind, EngineKind.DESCRIPTOR))
    engine.version = version.strip()
    engine.accelerator_kinds.extend(kind for kind in AcceleratorKind.values() if kind)
    return 1


def read_selector(text: str, selector: GpuSelector) -> int:
    """Reads "gpu-01/cuda:0", or "gpu-01/" and the card's UUID."""
    worker, _, card = text.strip().removeprefix("workers/").partition("/")
    if not card:
        raise ValueError(
            f"{quoted(text)} names no card; write it as in gpu-01/cuda:0, or with the card's UUID"
        )
    selector.worker = worker_of(worker)
    position = _POSITION.fullmatch(card)
    if position is None:
        selector.uuid = card
    else:
        kind = enum_value(position["kind"], AcceleratorKind.DESCRIPTOR)
        selector.position.kind = AcceleratorKind.ValueType(kind)
        selector.position.index = int(position["index"])
    return 1


def read_claim(pool: str, held: str, claim: MemoryClaim) -> None:
    """Reads "cuda-0: 40GiB", or "gpu-02/cuda-0: 40GiB" for memory of another worker than the one that leads."""
    worker, slash, name = pool.removeprefix("workers/").rpartition("/")
    claim.worker = worker_of(worker) if slash else ""
    claim.pool, claim.size_bytes = name, size(held)
