"""Several workers that serve one model together: one leads, and reaches the GPUs of the others over RPC.

The worker leads that has the most usable GPU memory, summed over those of its GPUs that hold at least one layer: not
the one that would put most layers on GPUs, nor the one with the largest card. Layers that no GPU holds are in
the leader's RAM: where that is short, the next one leads.

The leader's GPUs are filled first, and hold the last layers; the others follow in the order of their usable memory,
so that as few take part as will do.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from moorage_scheduler.core.cluster import RAM
from moorage_scheduler.core.layers.alone import rooms
from moorage_scheduler.core.layers.demand import Demand
from moorage_scheduler.core.layers.shares import Share, Sharer, claims_of
from moorage_scheduler.core.offer import Gpu, View
from moorage_scheduler.core.packing import Mode, Spot, Team
from moorage_scheduler.core.snapshot import Int64s

_MOST_TRIED = 50
"""Leaders that are tried in the hope that one of them holds everything."""


class Gathering:
    """Finds the teams for one model among the workers of a view."""

    def __init__(self, demand: Demand, view: View) -> None:
        self._demand = demand
        self._view = view
        self._sharer = Sharer(demand=demand, strategy=view.strategy, seed=view.request.seed)
        self._usable = usable_memory(demand, view)
        self._ready, self._ties = view.has_artifact(), view.ties()
        order = np.lexsort((self._ties, ~self._ready, -self._usable))
        self._order = [int(row) for row in order if self._usable[row] > 0 and view.offer.distributes[row]]
        self._gpus: dict[int, tuple[Gpu, ...]] = {}
        rows = np.array(self._order, np.intp)
        shared = np.where(view.offer.shares_memory, view.offer.available[:, 0], 0)[rows].sum()
        together = rooms(demand, view.offer)[rows].clip(min=0).sum() + shared
        self._suffices = bool(together >= demand.on_gpus[demand.goal])
        """Whether all GPUs together have room for everything, were there no gaps."""

    def teams(self, limit: int) -> Sequence[Team]:
        """Returns what they would hold together under each leader, best first."""
        found: list[Team] = []
        if self._must_hold_all and not self._suffices:
            return found
        for tried, leader in enumerate(self._leaders(), start=1):
            team = self._team(leader)
            if team is not None:
                found.append(team)
            if len(found) >= limit and (tried >= _MOST_TRIED or not self._hopes_for_more(found)):
                break
        found.sort(
            key=lambda team: (
                -team.spot.mode,
                -team.usable,
                len(team.spot.subordinates),
                not self._ready[team.leader],
                self._ties[team.leader],
            )
        )
        return found[:limit]

    @property
    def _must_hold_all(self) -> bool:
        return self._demand.fixed_units is not None or not self._demand.may_offload

    def _hopes_for_more(self, found: Sequence[Team]) -> bool:
        """Whether GPUs could hold everything under another leader: where gaps are depends on who leads."""
        return self._suffices and all(team.spot.mode is not Mode.DISTRIBUTED for team in found)

    def _leaders(self) -> Iterator[int]:
        """The one that was nominated already is among those that are tried."""
        wanted = self._view.request.selection.primary_worker
        nominated = self._view.row_of(self._view.request.nominated_worker)
        ram = self._view.offer.available[:, 0]
        # What RAM holds is least when everything is on GPUs.
        able = [row for row in self._order if ram[row] >= self._demand.in_ram[self._demand.goal]]
        able.sort(key=lambda row: row != nominated)
        return (row for row in able if not wanted or self._view.worker(row) == wanted)

    def _team(self, leader: int) -> Team | None:
        demand = self._demand
        shares = self._exactly(leader) if demand.exact_gpus else self._settled(leader)
        units = shares[-1].stop if shares else 0
        name = self._view.worker(leader)
        subordinates = tuple(dict.fromkeys(share.gpu.worker for share in shares if share.remote))
        if not subordinates or not any(share.gpu.worker == name for share in shares):
            return None
        if units < demand.goal and self._must_hold_all:
            return None
        if not self._leader_has_room(leader, shares, units):
            return None
        return Team(
            leader=leader,
            usable=self._brought(leader, [share for share in shares if not share.remote]),
            spot=Spot(
                claims=claims_of(demand, name, shares),
                mode=Mode.DISTRIBUTED if units == demand.total_units else Mode.DISTRIBUTED_PARTLY,
                gpu_layers=units,
                subordinates=subordinates,
            ),
        )

    def _settled(self, leader: int) -> tuple[Share, ...]:
        """Orders by the GPUs that hold something: choosing those by hand must give the same."""
        filled = self._filled((row, self._cards(row, leader)) for row in self._led_by(leader))
        order = sorted(
            filled,
            key=lambda row: (
                row != leader,
                -self._brought(row, filled[row]),
                not self._ready[row],
                self._ties[row],
            ),
        )
        once = _flat(filled)
        if order == list(filled):
            return once
        again = _flat(self._filled((row, [share.gpu for share in filled[row]]) for row in order))
        alike = len(again) == len(once) and again[-1].stop == once[-1].stop
        return again if alike else once

    def _filled(self, supply: Iterable[tuple[int, Sequence[Gpu]]]) -> dict[int, tuple[Share, ...]]:
        """Fills the GPUs of one row after the other, first those of the one that leads."""
        found: dict[int, tuple[Share, ...]] = {}
        start, leader = 0, -1
        for row, gpus in supply:
            if start == self._demand.goal:
                break
            leader = row if leader < 0 else leader
            shares = self._sharer.fill(gpus, start=start, stop=self._demand.goal, remote=row != leader)
            if shares:
                found[row], start = shares, shares[-1].stop
        return found

    def _led_by(self, leader: int) -> Iterator[int]:
        yield leader
        yield from (row for row in self._order if row != leader)

    def _brought(self, row: int, shares: Sequence[Share]) -> int:
        """Bytes of a row's GPUs that hold something."""
        if any(share.gpu.pool == RAM for share in shares):
            return int(self._view.offer.available[row, 0])
        return sum(share.gpu.available for share in shares)

    def _exactly(self, leader: int) -> tuple[Share, ...]:
        """Every one of so many GPUs holds something: as few workers as have so many."""
        shares = _flat(self._filled((row, self._cards(row, leader)) for row in self._led_by(leader)))
        if len(shares) == self._demand.exact_gpus:
            return shares
        cards: list[Gpu] = []
        for row in self._led_by(leader):
            largest_first = self._sharer.largest_first(self._cards(row, leader), remote=row != leader)
            cards += largest_first[: self._demand.exact_gpus - len(cards)]
        if len(cards) < self._demand.exact_gpus:
            return ()
        return self._sharer.spread(cards, leader=self._view.worker(leader), stop=self._demand.goal)

    def _cards(self, row: int, leader: int) -> tuple[Gpu, ...]:
        """The GPUs of a worker; none if its RAM is short of what a worker that follows needs."""
        if row not in self._gpus:
            self._gpus[row] = self._view.gpus(row)
        remote_ram = self._demand.profile.host_remote.total
        if row != leader and self._view.offer.available[row, 0] < remote_ram:
            return ()
        return tuple(self._less_what_ram_holds(gpu, leads=row == leader) for gpu in self._gpus[row])

    def _less_what_ram_holds(self, gpu: Gpu, *, leads: bool) -> Gpu:
        """One memory for both must hold the host's part beside the layers."""
        if gpu.pool != RAM:
            return gpu
        demand = self._demand
        host = int(demand.in_ram[demand.goal]) if leads else demand.profile.host_remote.total
        return replace(gpu, available=gpu.available - host)

    def _leader_has_room(self, leader: int, shares: Sequence[Share], units: int) -> bool:
        demand, name = self._demand, self._view.worker(leader)
        needed = int(demand.in_ram[units])
        for share in shares:
            if share.gpu.worker == name and share.gpu.pool == RAM:
                needed += demand.profile.on_gpu(share.start, share.stop, share.gpu.kind).total
        return needed <= int(self._view.offer.available[leader, 0])


def _flat(filled: Mapping[int, tuple[Share, ...]]) -> tuple[Share, ...]:
    return tuple(share for shares in filled.values() for share in shares)


def usable_memory(demand: Demand, view: View) -> Int64s:
    """[row]: bytes available, summed over those GPUs that can hold at least one layer."""
    given = view.offer
    holding = rooms(demand, given) >= demand.smallest_unit
    cards: NDArray[np.int64] = np.where(holding, given.available[:, 1:], 0).sum(axis=1)
    one_memory = given.available[:, 0]
    fits = one_memory - demand.per_gpu[given.kinds[:, 0]] >= demand.smallest_unit
    return np.where(given.shares_memory, np.where(fits, one_memory, 0), cards)
