"""Which GPUs take which layers, and what is claimed for them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from moorage_common.core.placement import PlacementStrategy
from moorage_common.core.states import AcceleratorKind
from moorage_scheduler.core.cluster import RAM
from moorage_scheduler.core.codes import ACCELERATORS
from moorage_scheduler.core.layers.demand import Demand
from moorage_scheduler.core.layers.ways import Way
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
    way: Way
    strategy: PlacementStrategy
    seed: str

    def fill(self, gpus: Sequence[Gpu], *, start: int, stop: int, remote: bool = False) -> tuple[Share, ...]:
        """Gives units to as few GPUs as will do.

        The largest is filled first, until one GPU can hold all that is left: of those that can, the strategy
        chooses. Where they do not hold everything, the shares end earlier than `stop`, with the most that there
        is room for.
        """
        best: tuple[Share, ...] = ()
        shares: list[Share] = []
        largest_first = self.largest_first(gpus, remote=remote)
        for position, gpu in enumerate(largest_first):
            left = self._size(start, stop)
            holders = [
                other for other in largest_first[position:] if self._last_room(other, remote=remote) >= left
            ]
            if holders:
                chosen = min(holders, key=lambda gpu: self._preference(gpu, left))
                return (*shares, Share(gpu=chosen, start=start, stop=stop, remote=remote))
            end = self._reach(start, self._last_room(gpu, remote=remote))
            if end > start and (not best or end > best[-1].stop):
                best = (*shares, Share(gpu=gpu, start=start, stop=end, remote=remote))
            # The last one holds a unit at least.
            end = min(self._reach(start, self.room(gpu, remote=remote)), stop - 1)
            if end > start:
                shares.append(Share(gpu=gpu, start=start, stop=end, remote=remote))
                start = end
        return best

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
        besides = int(self.way.per_gpu[ACCELERATORS.of(gpu.kind)])
        return gpu.available - besides - (self.demand.profile.per_remote_gpu.total if remote else 0)

    def _last_room(self, gpu: Gpu, *, remote: bool) -> int:
        """As `room`, of the last one that is filled."""
        on_top = 0 if remote else int(self.way.per_first[ACCELERATORS.of(gpu.kind)])
        return self.room(gpu, remote=remote) - on_top

    def _spread(
        self, gpus: Sequence[Gpu], *, leader: str, stop: int, proportional: bool
    ) -> tuple[Share, ...]:
        shares: list[Share] = []
        start = 0
        remote = [gpu.worker != leader for gpu in gpus]
        rooms = [self.room(gpu, remote=away) for gpu, away in zip(gpus, remote, strict=True)]
        last = remote.count(False) - 1
        rooms[last] = self._last_room(gpus[last], remote=False)
        for position, gpu in enumerate(gpus):
            others = len(gpus) - position - 1
            most = min(self._reach(start, rooms[position]), stop - others)
            if proportional:
                share = rooms[position] / max(1, sum(room for room in rooms[position:] if room > 0))
                most = min(most, start + max(1, round((stop - start) * share)))
            if most <= start:
                return ()
            shares.append(Share(gpu=gpu, start=start, stop=most, remote=remote[position]))
            start = most
        return tuple(shares)

    def _size(self, start: int, stop: int) -> int:
        return int(self.demand.on_gpus[stop] - self.demand.on_gpus[start])

    def _preference(self, gpu: Gpu, added: int) -> tuple[float, ...]:
        return preference(gpu, added, self.strategy, self.seed)

    def _reach(self, start: int, room: int) -> int:
        """The unit up to which units from `start` on fit into so much room."""
        sums = self.demand.on_gpus
        return int(sums.searchsorted(int(sums[start]) + room, side="right")) - 1


def claims_of(way: Way, leader: str, shares: Sequence[Share]) -> tuple[Claim, ...]:
    """Returns what an instance holds: RAM of the worker that leads, RAM of the others, then GPUs by their layers."""
    profile = way.profile
    units = shares[-1].stop if shares else 0
    claims = [
        Claim(worker=leader, pool=RAM, parts=way.ram(units).by_part(), layers=len(profile.units) - units)
    ]
    if profile.host_remote.total:
        others = dict.fromkeys(share.gpu.worker for share in shares if share.remote)
        claims += [
            Claim(worker=worker, pool=RAM, parts=profile.host_remote.by_part(), layers=0) for worker in others
        ]
    first = next((share for share in reversed(shares) if not share.remote), None)
    return (*claims, *(_card_claim(way, share, first=share is first) for share in reversed(shares)))


def unified_claims(way: Way, worker: str, units: int, kind: AcceleratorKind) -> tuple[Claim, ...]:
    """Returns what an instance holds of a memory that CPU and GPU share: both parts, once."""
    parts = way.ram(units)
    if units:
        parts += way.gpu(0, units, kind, first=True)
    return (Claim(worker=worker, pool=RAM, parts=parts.by_part(), layers=len(way.profile.units)),)


def _card_claim(way: Way, share: Share, *, first: bool) -> Claim:
    parts = way.gpu(share.start, share.stop, share.gpu.kind, first=first)
    if share.remote:
        parts += way.profile.per_remote_gpu
    return Claim(
        worker=share.gpu.worker, pool=share.gpu.pool, parts=parts.by_part(), layers=share.stop - share.start
    )
