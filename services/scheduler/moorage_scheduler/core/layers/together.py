"""Several workers that serve one model together: one leads, and reaches the GPUs of the others over RPC.

The worker leads that has the most usable GPU memory, summed over those of its GPUs that hold at least one layer: not
the one that would put most layers on GPUs, nor the one with the largest card. Layers that no GPU holds are in
the leader's RAM: where that is short, the next one leads.

The leader's GPUs are filled first, and hold the last layers; the others follow in the order of their usable memory,
so that as few take part as will do.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice, permutations

import numpy as np
from numpy.typing import NDArray

from moorage_scheduler.core.cluster import RAM
from moorage_scheduler.core.layers.demand import Demand
from moorage_scheduler.core.layers.lineup import Lineup
from moorage_scheduler.core.layers.shares import Share, Sharer, claims_of
from moorage_scheduler.core.layers.ways import Way
from moorage_scheduler.core.offer import Gpu, View
from moorage_scheduler.core.packing import Mode, Spot, Team

_MOST_ORDERED = 4
"""Workers that follow, up to which all their orders are tried."""
_MOST_POLISHED = 3
"""Times that the GPUs of the best team are looked at once more."""
_MOST_TRIED = 200
"""Leaders that are tried in the hope that one of them does."""


def gather(demand: Demand, view: View, limit: int) -> Sequence[Team]:
    """Returns the teams that would serve one model together, best first, at most so many."""
    found: dict[int, Team] = {}
    for way in demand.ways:
        leaves_some = demand.must_hold_all and way.goal < demand.goal
        if len(found) < limit and way.most_gpus != 1 and not leaves_some:
            gathering = _Gathering(demand, way, view)
            teams = gathering.teams(limit)
            best = () if found else (gathering.polished(team) for team in teams[:1])
            for team in (*best, *teams):
                found.setdefault(team.leader, team)
    return tuple(found.values())[:limit]


class _Gathering:
    """Finds the teams for one model among the workers of a view, in one way."""

    def __init__(self, demand: Demand, way: Way, view: View) -> None:
        self._demand = demand
        self._way = way
        self._view = view
        self._sharer = Sharer(demand=demand, way=way, strategy=view.strategy, seed=view.request.seed)
        self._lineup = Lineup(demand, way, view)
        self._ready, self._ties = view.has_artifact(), view.ties()
        self._gpus: dict[int, tuple[Gpu, ...]] = {}

    def teams(self, limit: int) -> Sequence[Team]:
        """Returns what they would hold together under each leader, best first."""
        found: list[Team] = []
        for leader in islice(self._leaders(), _MOST_TRIED):
            team = self._team(leader)
            if team is not None:
                found.append(team)
            if len(found) == limit:
                break
        return sorted(found, key=lambda team: team.rank)

    def polished(self, best: Team) -> Team:
        """The best team of just the GPUs that a team uses: choosing them by hand must give the same."""
        for _ in range(_MOST_POLISHED):
            rows, kinds = self._used(best)
            uses = int(np.count_nonzero(kinds))
            if uses == self._demand.exact_gpus:
                return best
            exact = self._demand.exactly(uses)
            way = next(way for way in exact.ways if way.goal == self._way.goal)
            given = replace(self._view.offer.rows(rows), kinds=kinds)
            view = View(self._view.snapshot, self._view.request, given, self._view.strategy)
            again = next(iter(_Gathering(exact, way, view).teams(1)), None)
            if again is None:
                return best
            again = replace(again, leader=int(rows[again.leader]))
            if again.spot == best.spot or again.rank > best.rank:
                return best
            best = again
        return best

    def _used(self, team: Team) -> tuple[NDArray[np.intp], NDArray[np.uint8]]:
        """The rows of a team, and the kinds of the cards that hold something there."""
        holds = {(claim.worker, claim.pool) for claim in team.spot.claims if claim.layers}
        names = (self._view.worker(team.leader), *team.spot.subordinates)
        rows = np.array([row for row in map(self._view.row_of, names) if row is not None], np.intp)
        kinds = np.zeros_like(self._view.offer.kinds[rows])
        for place, row in enumerate(rows.tolist()):
            worker = self._view.snapshot.rows.at(int(self._view.offer.slots[row]))
            for position, pool in enumerate(worker.pools):
                if (worker.name, pool) in holds:
                    kinds[place, position] = self._view.offer.kinds[row, position]
        return rows, kinds

    def _leaders(self) -> Iterator[int]:
        """The one that was nominated already is among those that are tried."""
        wanted = self._view.request.selection.primary_worker
        first = self._view.row_of(wanted or self._view.request.nominated_worker)
        leaders = self._lineup.leaders().tolist()
        if first is not None and first in leaders:
            yield first
        if not wanted:
            yield from (row for row in leaders if row != first)

    def _team(self, leader: int) -> Team | None:
        demand, way = self._demand, self._way
        shares = self._exactly(leader) if demand.exact_gpus else _flat(self._gathered(leader))
        units = shares[-1].stop if shares else 0
        name = self._view.worker(leader)
        subordinates = tuple(dict.fromkeys(share.gpu.worker for share in shares if share.remote))
        if not subordinates or not any(share.gpu.worker == name for share in shares):
            return None
        if units < way.goal and (way.holds_all or demand.must_hold_all):
            return None
        if not self._leader_has_room(leader, shares, units):
            return None
        mode = Mode.DISTRIBUTED if way.holds_all else Mode.DISTRIBUTED_PARTLY
        usable = self._brought(leader, [share.gpu for share in shares if not share.remote])
        late, tie = int(not self._ready[leader]), int(self._ties[leader])
        return Team(
            leader=leader,
            usable=usable,
            rank=(-mode, -usable, len(subordinates), late, tie),
            spot=Spot(
                claims=claims_of(way, name, shares),
                mode=mode,
                gpu_layers=units,
                subordinates=subordinates,
            ),
        )

    def _ordered(self, leader: int, cards: Mapping[int, Sequence[Gpu]], *, uses: int) -> tuple[Share, ...]:
        """Fills just so many GPUs: where gaps are depends on the order of those that follow. Empty: it cannot."""
        followers = sorted(
            cards.keys() - {leader},
            key=lambda row: (-self._brought(row, cards[row]), not self._ready[row], self._ties[row]),
        )
        best: tuple[Share, ...] = ()
        for order in permutations(followers) if len(followers) <= _MOST_ORDERED else [followers]:
            shares = _flat(self._filled((row, cards[row]) for row in (leader, *order) if row in cards))
            if len(shares) == uses and (not best or shares[-1].stop > best[-1].stop):
                best = shares
            if best and best[-1].stop == self._way.goal:
                break
        return best

    def _gathered(self, leader: int) -> dict[int, tuple[Share, ...]]:
        """Fills the GPUs of one worker after the other, passing over those that cannot hold the next unit."""
        found = self._filled([(leader, self._cards(leader, leader))])
        start = found[leader][-1].stop if found else self._way.goal
        seen = 0
        while start < self._way.goal:
            position = self._lineup.next_follower(seen, start)
            if position is None:
                break
            row, seen = int(self._lineup.rows[position]), position + 1
            if row == leader:
                continue
            shares = self._sharer.fill(
                self._cards(row, leader), start=start, stop=self._way.goal, remote=True
            )
            if shares:
                found[row], start = shares, shares[-1].stop
        return found

    def _filled(self, supply: Iterable[tuple[int, Sequence[Gpu]]]) -> dict[int, tuple[Share, ...]]:
        """Fills the GPUs of one row after the other, first those of the one that leads."""
        found: dict[int, tuple[Share, ...]] = {}
        start, leader = 0, -1
        for row, gpus in supply:
            if start == self._way.goal:
                break
            leader = row if leader < 0 else leader
            shares = self._sharer.fill(gpus, start=start, stop=self._way.goal, remote=row != leader)
            if shares:
                found[row], start = shares, shares[-1].stop
        return found

    def _brought(self, row: int, gpus: Sequence[Gpu]) -> int:
        """Bytes of some of a row's GPUs, all of the memory that one shares with RAM."""
        if any(gpu.pool == RAM for gpu in gpus):
            return int(self._view.offer.available[row, 0])
        return sum(gpu.available for gpu in gpus)

    def _exactly(self, leader: int) -> tuple[Share, ...]:
        """Every one of so many GPUs holds something: as few workers as have so many."""
        others = (row for row in self._lineup.rows.tolist() if row != leader)
        chosen = {row: self._cards(row, leader) for row in (leader, *others)}
        shares = self._ordered(leader, chosen, uses=self._demand.exact_gpus)
        if shares:
            return shares
        cards: list[Gpu] = []
        for row, gpus in chosen.items():
            largest_first = self._sharer.largest_first(gpus, remote=row != leader)
            cards += largest_first[: self._demand.exact_gpus - len(cards)]
        if len(cards) < self._demand.exact_gpus:
            return ()
        return self._sharer.spread(cards, leader=self._view.worker(leader), stop=self._way.goal)

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
        remote = self._demand.profile.host_remote.total
        host = int(self._way.in_ram[self._way.goal]) if leads else remote
        return replace(gpu, available=gpu.available - host)

    def _leader_has_room(self, leader: int, shares: Sequence[Share], units: int) -> bool:
        name, way = self._view.worker(leader), self._way
        needed = int(way.in_ram[units])
        for share in shares:
            if share.gpu.worker == name and share.gpu.pool == RAM:
                needed += way.gpu(share.start, share.stop, share.gpu.kind, first=True).total
        return needed <= int(self._view.offer.available[leader, 0])


def _flat(filled: Mapping[int, tuple[Share, ...]]) -> tuple[Share, ...]:
    return tuple(share for shares in filled.values() for share in shares)
