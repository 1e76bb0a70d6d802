"""Which GPUs of the chosen worker take which layers, and what is claimed for them."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b

from moorage_common.core.placement import PlacementStrategy
from moorage_common.core.states import AcceleratorKind
from moorage_scheduler.core.cluster import RAM
from moorage_scheduler.core.request import Claim
from moorage_scheduler.core.search import Demand


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """One GPU of the chosen worker that the engine computes on."""

    uuid: str
    kind: AcceleratorKind
    capacity: int
    """Bytes that instances may hold."""
    available: int
    """Bytes that may still be claimed."""
    replicas: int
    """Instances of the same model on it."""
    tenants: int
    """Instances on it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """Units that one GPU takes, from `start` up to `stop`."""

    gpu: Gpu
    start: int
    stop: int


def share_out(
    demand: Demand, gpus: tuple[Gpu, ...], units: int, strategy: PlacementStrategy, seed: str
) -> tuple[Share, ...]:
    """Gives units to GPUs, output layer first.

    The largest is filled first, until one GPU can hold all that is left: of those that can, the strategy
    chooses. `search.search` has found that so many units fit; if they do not, the shares end earlier.
    """
    shares: list[Share] = []
    sums, start = demand.on_gpus, 0
    unused = {gpu.uuid: gpu for gpu in gpus}
    while start < units and unused:
        rooms = {gpu.uuid: _room(demand, gpu) for gpu in unused.values()}
        left = int(sums[units] - sums[start])
        holders = [gpu for gpu in unused.values() if rooms[gpu.uuid] >= left]
        if holders:
            chosen, stop = min(holders, key=lambda gpu: _preference(gpu, left, strategy, seed)), units
        else:
            chosen = min(unused.values(), key=lambda gpu: (-rooms[gpu.uuid], tie(seed, gpu.uuid)))
            stop = int(sums.searchsorted(int(sums[start]) + rooms[chosen.uuid], side="right")) - 1
        if stop <= start:
            break
        shares.append(Share(gpu=chosen, start=start, stop=stop))
        del unused[chosen.uuid]
        start = stop
    return tuple(shares)


def claims_of(demand: Demand, shares: tuple[Share, ...]) -> tuple[Claim, ...]:
    """Returns what an instance holds: RAM, then GPUs in the order of the layers."""
    profile = demand.profile
    units = shares[-1].stop if shares else 0
    ram = Claim(pool=RAM, parts=profile.in_ram(units).by_part(), layers=demand.total_units - units)
    cards = [
        Claim(
            pool=share.gpu.uuid,
            parts=profile.on_gpu(share.start, share.stop, share.gpu.kind).by_part(),
            layers=share.stop - share.start,
        )
        for share in reversed(shares)
    ]
    return (ram, *cards)


def unified_claims(demand: Demand, units: int, kind: AcceleratorKind) -> tuple[Claim, ...]:
    """Returns what an instance holds of a memory that CPU and GPU share: both parts, once."""
    profile = demand.profile
    parts = profile.in_ram(units)
    if units:
        parts += profile.on_gpu(0, units, kind)
    return (Claim(pool=RAM, parts=parts.by_part(), layers=demand.total_units),)


def tie(seed: str, name: str) -> int:
    """A number that orders equals, the same for the same seed."""
    return int.from_bytes(blake2b(name.encode(), key=seed.encode()[:64], digest_size=8).digest())


def sizes(claims: tuple[Claim, ...]) -> Mapping[str, int]:
    """Bytes per pool."""
    return {claim.pool: claim.size_bytes for claim in claims}


def _room(demand: Demand, gpu: Gpu) -> int:
    return gpu.available - demand.profile.per_gpu[gpu.kind].total


def _preference(gpu: Gpu, left: int, strategy: PlacementStrategy, seed: str) -> tuple[float, ...]:
    if strategy is PlacementStrategy.SPREAD:
        return (gpu.replicas, gpu.tenants, -gpu.available, tie(seed, gpu.uuid))
    fullness = (gpu.capacity - gpu.available + left) / max(1, gpu.capacity)
    return (-fullness, tie(seed, gpu.uuid))
