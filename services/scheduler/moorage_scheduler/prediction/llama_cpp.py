"""llama.cpp: whole layers one after the other, in RAM and on cards, of which some may be on other workers."""

from collections.abc import Iterator, Mapping

from moorage_common.core.states import EngineKind
from moorage_scheduler.core.cluster import RAM
from moorage_scheduler.core.request import Claim, Placement
from moorage_scheduler.prediction.hardware import WorkerHardware
from moorage_scheduler.prediction.legs import Layers, Leg, card_of, on_card, on_cpu
from moorage_scheduler.prediction.rpc import traffic
from moorage_scheduler.prediction.shape import ModelShape


def legs(
    placement: Placement,
    shape: ModelShape,
    workers: Mapping[str, WorkerHardware],
    *,
    depth: int,
    threads: int,
) -> tuple[Leg, ...]:
    """Returns the way of a token through a placement.

    Raises:
        UnknownCard: The table does not know a card that takes part.
    """
    found: list[Leg] = []
    for claim, layers in _dealt(placement, shape, depth):
        hardware = workers[claim.worker]
        if claim.pool != RAM:
            if claim.worker != placement.worker:
                last = layers.blocks[-1] is shape.blocks[-1]
                found.append(_hop(workers, placement.worker, claim.worker, shape, depth=depth, last=last))
            found.append(_on_card(hardware, claim, layers))
        elif hardware.unified_memory and placement.gpu_layers:
            found += _in_one_memory(hardware, claim, layers, placement.gpu_layers, threads)
        else:
            found.append(on_cpu(hardware, layers, worker=claim.worker, threads=threads))
    return tuple(found)


def _dealt(placement: Placement, shape: ModelShape, depth: int) -> Iterator[tuple[Claim, Layers]]:
    """The claims that hold layers, with these, from the first layer to the output layer."""
    start = 0
    for claim in placement.claims:
        if claim.layers:
            blocks = shape.blocks[start : start + claim.layers]
            start += claim.layers
            yield claim, Layers(shape=shape, blocks=blocks, depth=depth)


def _on_card(hardware: WorkerHardware, claim: Claim, layers: Layers) -> Leg:
    card = card_of(hardware, claim.pool)
    return on_card(EngineKind.LLAMA_CPP, card, layers, worker=claim.worker, pool=claim.pool)


def _in_one_memory(
    hardware: WorkerHardware, claim: Claim, layers: Layers, gpu_layers: int, threads: int
) -> Iterator[Leg]:
    """Layers in a memory that CPU and accelerator share: the last ones are computed by the accelerator."""
    first = len(layers.blocks) - gpu_layers
    if first > 0:
        on_host = Layers(shape=layers.shape, blocks=layers.blocks[:first], depth=layers.depth)
        yield on_cpu(hardware, on_host, worker=claim.worker, threads=threads)
    yield _on_card(
        hardware,
        claim,
        Layers(shape=layers.shape, blocks=layers.blocks[max(0, first) :], depth=layers.depth),
    )


def _hop(
    workers: Mapping[str, WorkerHardware],
    primary: str,
    worker: str,
    shape: ModelShape,
    *,
    depth: int,
    last: bool,
) -> Leg:
    sent = traffic(shape, depth=depth, last=last)
    here, there = workers[primary], workers[worker]
    speed = min(here.network_speed, there.network_speed)
    round_trip_s = max(here.round_trip, there.round_trip)
    return Leg(
        worker=worker,
        pool="",
        read_bytes=sent.bytes,
        decode_s=sent.round_trips * round_trip_s + sent.bytes / speed,
        prefill_s=sent.prefill_round_trips * round_trip_s + sent.prefill_bytes / speed,
    )
