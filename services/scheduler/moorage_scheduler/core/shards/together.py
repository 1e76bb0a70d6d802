"""Several workers that serve one vLLM model together, over GPUs of one kind.

As few GPUs as will do, then a shape whose tensor groups each stay within a worker, then as few workers. The worker
leads that gives most GPUs, then the one with most free GPU memory. A worker takes part in one such instance at a time.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from moorage_scheduler.core.closeness import closest
from moorage_scheduler.core.offer import Gpu, View, preference
from moorage_scheduler.core.packing import Mode, Spot, Team
from moorage_scheduler.core.parallel import ParallelShape
from moorage_scheduler.core.shards.cards import CardFit, CardNeeds, counts_by_kind
from moorage_scheduler.core.shards.claims import claims_of
from moorage_scheduler.core.snapshot import Int64s
from moorage_scheduler.estimators.vllm import VllmNeeds
from moorage_scheduler.estimators.vllm_shapes import shapes_on

_MOST_GPUS = 1024
"""More are not tried for one instance."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Supply:
    """What the workers could give to a shape, of one kind of card."""

    shape: ParallelShape
    kind: int
    needs: CardNeeds
    cards: Int64s
    """[row]: cards that each could give."""


class Gathering:
    """Finds the workers for one model among those of a view."""

    def __init__(self, needs: VllmNeeds, view: View, fit: CardFit, *, exact_gpus: int, layers: int) -> None:
        self._needs = needs
        self._view = view
        self._exact_gpus = exact_gpus
        self._layers = layers
        given = view.offer
        self._may = given.distributes & ~given.exclusive & (given.kinds != 0).any(axis=1)
        self._fit = fit
        self._free: Int64s = np.where(given.kinds != 0, given.available, 0).sum(axis=1)
        self._ties, self._ready = view.ties(), view.has_artifact()

    def teams(self, limit: int) -> Sequence[Team]:
        """Returns the best team for each leader that the best shape allows; most often there is one."""
        for gpus in self._counts():
            for crossing in (False, True):
                found = [
                    team
                    for shape in shapes_on(self._needs.cuts, self._needs.options, gpus)
                    if self._fit.fits_any(shape)
                    for supply in self._supplies(shape)
                    if (team := self._team(supply, crossing=crossing)) is not None
                ]
                if found:
                    return _best_shaped(found)[:limit]
        return ()

    def _counts(self) -> Iterator[int]:
        if self._exact_gpus:
            yield self._exact_gpus
            return
        cards = int(counts_by_kind(self._view.offer, self._fit.takeable())[self._may].sum(axis=0).max())
        yield from range(2, min(cards, _MOST_GPUS) + 1)

    def _supplies(self, shape: ParallelShape) -> Iterator[_Supply]:
        needs = self._fit.of(shape)
        counts = counts_by_kind(self._view.offer, needs.eligible) * self._may[:, np.newaxis]
        for column in np.flatnonzero(counts.sum(axis=0) >= shape.gpus):
            cards = self._with_ram(shape, needs, counts[:, column])
            yield _Supply(shape=shape, kind=int(column), needs=needs, cards=cards)

    def _with_ram(self, shape: ParallelShape, needs: CardNeeds, cards: Int64s) -> Int64s:
        """Leaves out workers whose RAM is short of what so many of their GPUs need."""
        given, most = self._view.offer, int(cards.max(initial=0))
        hosts = np.array(
            [self._needs.on_host(shape, ranks=ranks, leads=True).total for ranks in range(most + 1)], np.int64
        )
        ram = given.available[:, 0] - np.where(given.shares_memory, needs.claim[:, 0], 0)
        return np.where(ram >= hosts[np.minimum(cards, shape.gpus)], cards, 0)

    def _team(self, supply: _Supply, *, crossing: bool) -> Team | None:
        shape, step = supply.shape, 1 if crossing else supply.shape.tensor
        whole = supply.cards // step * step
        if int(whole.sum()) < shape.gpus:
            return None
        rows, left = [], shape.gpus
        for row in self._order(whole):
            if not left:
                break
            given = min(int(whole[row]), left)
            if given:
                rows.append((row, given))
                left -= given
        if left or len(rows) < 2:
            return None
        members = self._led([(row, closest(self._cards(supply, row), given)) for row, given in rows])
        if not members:
            return None
        gpus = [gpu for _, cards in members for gpu in cards]
        leader, cards = members[0]
        usable = _free(cards)
        return Team(
            leader=leader,
            usable=usable,
            rank=(shape.gpus, crossing, len(members), shape.pipeline, -usable, int(self._ties[leader])),
            spot=Spot(
                claims=claims_of(self._needs, shape, gpus),
                mode=Mode.DISTRIBUTED,
                gpu_layers=self._layers,
                subordinates=tuple(self._view.worker(row) for row, _ in members[1:]),
                parallel=shape,
            ),
        )

    def _order(self, cards: Int64s) -> Sequence[int]:
        """Rows by what they give: most GPUs, most free memory, the artifact there already."""
        order: NDArray[np.intp] = np.lexsort((self._ties, ~self._ready, -self._free, -cards))
        rows = [int(row) for row in order]
        wanted = self._view.row_of(self._view.request.selection.primary_worker)
        return rows if wanted is None else [wanted, *(row for row in rows if row != wanted)]

    def _led(self, rows: list[tuple[int, list[Gpu]]]) -> list[tuple[int, list[Gpu]]]:
        """The rows with the one that leads first. Empty: the one that the user wants does not take part.

        Only the cards that a worker gives count: of chosen ones and of all the same is said.
        """
        wanted = self._view.request.selection.primary_worker
        first = self._view.row_of(wanted) if wanted else None
        if wanted and all(row != first for row, _ in rows):
            return []
        return sorted(
            rows,
            key=lambda pair: (pair[0] != first, -len(pair[1]), -_free(pair[1]), int(self._ties[pair[0]])),
        )

    def _cards(self, supply: _Supply, row: int) -> list[Gpu]:
        return best_cards(self._view, supply.needs, row, supply.kind)


def best_cards(view: View, needs: CardNeeds, row: int, kind: int) -> list[Gpu]:
    """Returns the cards of a worker that hold their part of a shape, as the strategy prefers them."""
    offered = np.flatnonzero(view.offer.kinds[row])
    gpus = [
        (gpu, int(needs.claim[row, position]))
        for gpu, position in zip(view.gpus(row), offered, strict=True)
        if needs.eligible[row, position] and view.offer.kinds[row, position] == kind
    ]
    return [
        gpu
        for gpu, _ in sorted(
            gpus, key=lambda pair: preference(pair[0], pair[1], view.strategy, view.request.seed)
        )
    ]


def _free(cards: Sequence[Gpu]) -> int:
    return sum(card.available for card in cards)


def _best_shaped(teams: Sequence[Team]) -> list[Team]:
    """Those of as few workers and stages as the best; one for each leader."""
    best = min(map(_shape, teams))
    alike = sorted((team for team in teams if _shape(team) == best), key=lambda team: team.rank)
    leaders = {team.leader: team for team in reversed(alike)}
    return [team for team in alike if leaders[team.leader] is team]


def _shape(team: Team) -> tuple[int, int]:
    return len(team.spot.subordinates), team.spot.parallel.pipeline if team.spot.parallel else 1
