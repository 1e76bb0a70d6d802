"""Which GPUs take which layers, and what is claimed for them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from moorage_common.core.placement import PlacementStrategy
from moorage_common.core.states import AcceleratorKind
from moorage_scheduler.core.cluster import RAM
from moorage_scheduler.core.layers.demand import Demand
from moorage_scheduler.core.offer import Gpu, preference
from moorage_scheduler.core.request import Claim
from moorage_scheduler.core.ties import tie


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """Units that one GPU takes, from `start` up to `stop`."""

    gpu: Gpu
    start: int
    stop: int
    remote: bool = False
    """Whether it is of another worker than the one that leads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharer:
    """Deals units out to GPUs, output layer first."""

    demand: Demand
    strategy: PlacementStrategy
    seed: str

    def fill(self, gpus: Sequence[Gpu], *, start: int, stop: int, remote: bool = False) -> tuple[Share, ...]:
        """Gives units to as few GPUs as will do.

        The largest is filled first, until one GPU can hold all that is left: of those that can, the strategy
        chooses. Where they do not hold everything, the shares end earlier than `stop`.
        """
        shares: list[Share] = []
        sums = self.demand.on_gpus
        largest_first = [
            (self.room(gpu, remote=remote), gpu) for gpu in self.largest_first(gpus, remote=remote)
        ]
        for position, (room, largest) in enumerate(largest_first):
            left = int(sums[stop] - sums[start])
            chosen, end = largest, self._reach(start, room)
            if room >= left:
                holders = [gpu for room, gpu in largest_first[position:] if room >= left]
                chosen, end = min(holders, key=lambda gpu: self._preference(gpu, left)), stop
            if end <= start:
                break
            shares.append(Share(gpu=chosen, start=start, stop=end, remote=remote))
            start = end
            if start == stop:
                break
        return tuple(shares)

    def spread(self, gpus: Sequence[Gpu], *, leader: str, stop: int) -> tuple[Share, ...]:
        """Gives every one of these GPUs at least a unit, and more in proportion to its room.

        Where they do not hold everything, the shares end earlier than `stop`. Empty: some GPU has no room for a unit.
        """
        for proportional in (True, False):
            shares = self._spread(gpus, leader=leader, stop=stop, proportional=proportional)
            if shares and shares[-1].stop == stop:
                break
        return shares

    def largest_first(self, gpus: Iterable[Gpu], *, remote: bool = False) -> list[Gpu]:
        """Orders GPUs by the room that they have."""
        return sorted(
            gpus, key=lambda gpu: (-self.room(gpu, remote=remote), tie(self.seed, gpu.worker + gpu.pool))
        )

    def room(self, gpu: Gpu, *, remote: bool) -> int:
        """Bytes that a GPU has for units, beside what it takes anyway."""
        profile = self.demand.profile
        besides = profile.per_gpu[gpu.kind].total + (profile.per_remote_gpu.total if remote else 0)
        return gpu.available - besides

    def _spread(
        self, gpus: Sequence[Gpu], *, leader: str, stop: int, proportional: bool
    ) -> tuple[Share, ...]:
        shares: list[Share] = []
        start = 0
        rooms = [self.room(gpu, remote=gpu.worker != leader) for gpu in gpus]
        for position, gpu in enumerate(gpus):
            others = len(gpus) - position - 1
            most = min(self._reach(start, rooms[position]), stop - others)
            if proportional:
                share = rooms[position] / max(1, sum(room for room in rooms[position:] if room > 0))
                most = min(most, start + max(1, round((stop - start) * share)))
            if most <= start:
                return ()
            shares.append(Share(gpu=gpu, start=start, stop=most, remote=gpu.worker != leader))
            start = most
        return tuple(shares)

    def _preference(self, gpu: Gpu, added: int) -> tuple[float, ...]:
        return preference(gpu, added, self.strategy, self.seed)

    def _reach(self, start: int, room: int) -> int:
        """The unit up to which units from `start` on fit into so much room."""
        sums = self.demand.on_gpus
        return int(sums.searchsorted(int(sums[start]) + room, side="right")) - 1


def claims_of(demand: Demand, leader: str, shares: Sequence[Share]) -> tuple[Claim, ...]:
    """Returns what an instance holds: RAM of the worker that leads, RAM of the others, then GPUs by their layers."""
    profile = demand.profile
    units = shares[-1].stop if shares else 0
    claims = [
        Claim(
            worker=leader,
            pool=RAM,
            parts=profile.in_ram(units).by_part(),
            layers=demand.total_units - units,
        )
    ]
    if profile.host_remote.total:
        others = dict.fromkeys(share.gpu.worker for share in shares if share.remote)
        claims += [
            Claim(worker=worker, pool=RAM, parts=profile.host_remote.by_part(), layers=0) for worker in others
        ]
    return (*claims, *(_card_claim(demand, share) for share in reversed(shares)))


def unified_claims(demand: Demand, worker: str, units: int, kind: AcceleratorKind) -> tuple[Claim, ...]:
    """Returns what an instance holds of a memory that CPU and GPU share: both parts, once."""
    profile = demand.profile
    parts = profile.in_ram(units)
    if units:
        parts += profile.on_gpu(0, units, kind)
    return (Claim(worker=worker, pool=RAM, parts=parts.by_part(), layers=demand.total_units),)


def _card_claim(demand: Demand, share: Share) -> Claim:
    parts = demand.profile.on_gpu(share.start, share.stop, share.gpu.kind)
    if share.remote:
        parts += demand.profile.per_remote_gpu
    return Claim(
        worker=share.gpu.worker, pool=share.gpu.pool, parts=parts.by_part(), layers=share.stop - share.start
    )
