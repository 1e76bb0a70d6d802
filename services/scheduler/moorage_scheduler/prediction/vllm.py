"""vLLM: every layer cut over the cards of a tensor group, the layers dealt out to the groups of a pipeline."""

from collections.abc import Iterator, Mapping, Sequence

from moorage_common.core.states import EngineKind
from moorage_scheduler.core.cluster import RAM
from moorage_scheduler.core.parallel import ParallelShape
from moorage_scheduler.core.request import Claim, Placement
from moorage_scheduler.estimators.vllm_stages import stages
from moorage_scheduler.prediction.accelerators import Link
from moorage_scheduler.prediction.collectives import Ring
from moorage_scheduler.prediction.hardware import WorkerHardware
from moorage_scheduler.prediction.legs import Layers, Leg, card_of, on_card
from moorage_scheduler.prediction.shape import ModelShape

_ACTIVATION_BYTES = 2
_SUMS_PER_LAYER = 2
"""After attention and after the feed-forward layer: row-parallel layers in vLLM's models."""
_BATCH = 2048
"""Tokens of a prompt that are computed together, by default."""


def legs(
    placement: Placement, shape: ModelShape, workers: Mapping[str, WorkerHardware], *, depth: int
) -> tuple[Leg, ...]:
    """Returns the way of a token through one copy of the model.

    Raises:
        UnknownCard: The table does not know a card that takes part.
    """
    parallel = placement.parallel or ParallelShape()
    cards = [claim for claim in placement.claims if claim.pool != RAM]
    # Where CPU and cards share a memory there is one claim on it, the worker's only card.
    ranks = (cards or [claim for claim in placement.claims if claim.layers])[: parallel.ranks]
    found: list[Leg] = []
    before: Claim | None = None
    for stage in stages(len(shape.blocks) - 1, parallel.pipeline):
        group = ranks[stage.index * parallel.tensor : (stage.index + 1) * parallel.tensor]
        layers = Layers(shape=shape, blocks=shape.blocks[stage.start : stage.stop + stage.last], depth=depth)
        if before is not None and before.worker != group[0].worker:
            found.append(_hop(workers, before.worker, group[0].worker, shape))
        found += _computed(group, layers, workers)
        before = group[-1]
    return tuple(found)


def _computed(group: Sequence[Claim], layers: Layers, workers: Mapping[str, WorkerHardware]) -> Iterator[Leg]:
    """What the slowest card of a group takes, then what adding up takes."""
    yield max(
        (
            on_card(
                EngineKind.VLLM,
                card_of(workers[claim.worker], claim.pool),
                layers,
                worker=claim.worker,
                pool=claim.pool,
                ranks=len(group),
            )
            for claim in group
        ),
        key=lambda leg: leg.decode_s,
    )
    if len(group) > 1:
        yield _added_up(group, layers, workers)


def _added_up(group: Sequence[Claim], layers: Layers, workers: Mapping[str, WorkerHardware]) -> Leg:
    cards = [card_of(workers[claim.worker], claim.pool) for claim in group]
    slowest = min(cards, key=lambda card: card.link_bytes_per_s or 0.0)
    hosts = {claim.worker: workers[claim.worker] for claim in group}
    speed = slowest.link_bytes_per_s or max(host.network_speed for host in hosts.values())
    if len(hosts) > 1:
        speed = min(speed, *(host.network_speed for host in hosts.values()))
    ring = Ring(
        ranks=len(group),
        workers=len(hosts),
        link=slowest.link if slowest.link_bytes_per_s else Link.NONE,
        link_bytes_per_s=speed,
        network_step_s=max(host.round_trip for host in hosts.values()) / 2,
    )
    size = _ACTIVATION_BYTES * layers.shape.hidden
    times = _SUMS_PER_LAYER * len(layers.blocks)
    batch_s = ring.all_reduce_s(size * _BATCH)
    return Leg(
        worker=group[0].worker,
        pool="",
        read_bytes=times * size,
        decode_s=times * ring.all_reduce_s(size),
        prefill_s=times * batch_s / _BATCH,
    )


def _hop(workers: Mapping[str, WorkerHardware], here: str, there: str, shape: ModelShape) -> Leg:
    size = _ACTIVATION_BYTES * shape.hidden
    speed = min(workers[here].network_speed, workers[there].network_speed)
    one_way_s = max(workers[here].round_trip, workers[there].round_trip) / 2
    return Leg(
        worker=there,
        pool="",
        read_bytes=size,
        decode_s=one_way_s + size / speed,
        prefill_s=one_way_s / _BATCH + size / speed,
    )
