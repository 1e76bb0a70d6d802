"""Who could serve a model together with others, as columns: in order, and without those of whom nothing can come.

On a full fleet most workers hold no layer, and no team does. It must cost little to find that out: it is found out
again whenever something changes.
"""

import numpy as np
from numpy.typing import NDArray

from moorage_scheduler.core.layers.alone import rooms
from moorage_scheduler.core.layers.demand import Demand
from moorage_scheduler.core.layers.ways import Way
from moorage_scheduler.core.offer import View
from moorage_scheduler.core.snapshot import Int64s


class Lineup:
    """The workers of a view: those with most usable GPU memory first, then those that have the artifact."""

    def __init__(self, demand: Demand, way: Way, view: View) -> None:
        given, profile = view.offer, demand.profile
        self._demand, self._way = demand, way
        self._sizes: Int64s = np.diff(demand.on_gpus[: way.goal + 1])
        usable = usable_memory(demand, way, view)
        order = np.lexsort((view.ties(), ~view.has_artifact(), -usable))
        self.rows: NDArray[np.intp] = order[(usable[order] > 0) & given.distributes[order]]
        """Rows of the view, in order."""
        self._ram: Int64s = given.available[self.rows, 0]
        cards = rooms(way, given)[self.rows]
        shares = given.shares_memory[self.rows]
        one_memory = np.where(shares, self._ram - way.per_gpu[given.kinds[self.rows, 0]], -1)
        largest = cards.max(axis=1, initial=-1)
        self._leads: Int64s = np.where(shares, one_memory - way.in_ram[way.goal], largest)
        """[position]: room of the largest GPU of a worker that leads."""
        follows = np.where(shares, one_memory - profile.host_remote.total, largest)
        enough_ram = self._ram >= profile.host_remote.total
        self._follows: Int64s = np.where(enough_ram, follows - profile.per_remote_gpu.total, -1)
        """[position]: room of the largest GPU of a worker that follows."""
        self._most = self._at_most(cards.clip(min=0).sum() + one_memory.clip(min=0).sum())

    def leaders(self) -> NDArray[np.intp]:
        """Returns rows that could lead others: they hold the first unit and, in RAM, what is left at best."""
        nobody: NDArray[np.intp] = self.rows[:0]
        if len(self._sizes) < 2 or self._follows.max(initial=-1) < self._sizes[1:].min():
            return nobody
        goal, in_ram = self._way.goal, self._way.in_ram
        must_hold_all = self._way.holds_all or self._demand.must_hold_all
        if must_hold_all and self._most < goal:
            return nobody
        left = in_ram[goal] if must_hold_all else in_ram[: self._most + 1].min()
        return np.asarray(self.rows[(self._leads >= self._sizes[0]) & (self._ram >= left)])

    def next_follower(self, position: int, start: int) -> int | None:
        """Returns the next position, from one on, whose worker could hold the unit at `start`. None: there is none."""
        able = self._follows[position:] >= self._sizes[start]
        found = int(able.argmax()) if able.any() else None
        return None if found is None else position + found

    def _at_most(self, room: int) -> int:
        """Units that so much room holds if there are no gaps."""
        return min(self._way.goal, int(self._demand.on_gpus.searchsorted(room, side="right")) - 1)


def usable_memory(demand: Demand, way: Way, view: View) -> Int64s:
    """[row]: bytes available, summed over those GPUs that can hold at least one layer."""
    given = view.offer
    holding = rooms(way, given) >= demand.smallest_unit
    cards: NDArray[np.int64] = np.where(holding, given.available[:, 1:], 0).sum(axis=1)
    one_memory = given.available[:, 0]
    fits = one_memory - way.per_gpu[given.kinds[:, 0]] >= demand.smallest_unit
    return np.where(given.shares_memory, np.where(fits, one_memory, 0), cards)
