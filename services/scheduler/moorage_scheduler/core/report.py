"""What to tell of a search: how many workers each rule rejected, and what became of the most interesting ones."""

from collections import Counter
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from moorage_common.core.placement import PlacementMode, Verdict
from moorage_scheduler.core.apart import kept_apart
from moorage_scheduler.core.codes import REASONS
from moorage_scheduler.core.explanation import ReasonCount, WorkerExplanation
from moorage_scheduler.core.packing import Mode
from moorage_scheduler.core.search import Search, search
from moorage_scheduler.core.sieve import PASSED
from moorage_scheduler.core.snapshot import Mask
from moorage_scheduler.core.ties import tie_order

_MODES: Mapping[int, PlacementMode] = {
    mode: PlacementMode[mode.name] for mode in Mode if mode is not Mode.NOWHERE
}


class Report:
    """One search, told."""

    def __init__(self, found: Search) -> None:
        self._found = found
        self._short = found.fits.mode == Mode.NOWHERE
        self._apart = kept_apart(found)
        self._kept = self._apart.rows if self._apart else np.zeros_like(self._short)
        """[row]: workers that something but memory keeps from serving it together."""
        refused = {item.worker for item in found.by_hand}
        self._led = [
            team for team in enumerate(found.teams) if found.view.worker(team[1].leader) not in refused
        ]
        """The teams that are listed, each with its position."""

    def refusal(self) -> Verdict:
        """Tells a fleet that is too full, or partly away, from one that lacks such workers altogether."""
        found = self._found
        empty = search(found.snapshot, found.request, found.packing, found.policy, empty=True)
        return Verdict.NOT_NOW if empty.fits_somewhere else Verdict.NEVER_FITS

    def considered(self) -> int:
        """Every worker that exists, and every one that was asked for and does not."""
        slots = self._found.snapshot.rows.slots
        missing = sum(1 for item in self._found.by_hand if item.worker not in slots)
        return int(self._found.snapshot.columns.present.sum()) + missing

    def counts(self) -> tuple[ReasonCount, ...]:
        """How many workers were rejected for what, most first. Each counts once, under the first reason."""
        found, slots = self._found, self._found.snapshot.rows.slots
        reasons = Counter(item.rejections[0].reason for item in found.by_hand)
        others = found.snapshot.columns.present.copy()
        others[[slots[item.worker] for item in found.by_hand if item.worker in slots]] = False
        for position, rule in enumerate(found.sieve.rules):
            reasons[rule.reason] += int((others & (found.sieve.rejected_by == position)).sum())
        short = self._short & ~self._refused_rows() & ~self._in_a_team()
        if self._apart:
            reasons[self._apart.reason] += int((short & self._kept).sum())
        codes, numbers = np.unique(found.fits.reason[short & ~self._kept], return_counts=True)
        for code, number in zip(codes.tolist(), numbers.tolist(), strict=True):
            if reason := REASONS.member(code):
                reasons[reason] += number
        return tuple(
            ReasonCount(reason=reason, worker_count=number)
            for reason, number in reasons.most_common()
            if number
        )

    def workers(self, limit: int) -> tuple[WorkerExplanation, ...]:
        """What refuses a choice by hand, then what would do by rank, then the others by closeness."""
        listed = list(self._found.by_hand[:limit])
        listed += self._teams(limit - len(listed))
        listed += self._ranked(limit - len(listed), {item.worker for item in listed})
        listed += self._kept_apart(limit - len(listed))
        listed += self._too_small(limit - len(listed))
        listed += self._filtered(limit - len(listed), {item.worker for item in listed})
        return tuple(listed)

    def _teams(self, limit: int) -> list[WorkerExplanation]:
        found = self._found
        return [
            WorkerExplanation(
                worker=found.view.worker(team.leader),
                rank=rank,
                score=found.team_score(position),
                score_parts=found.team_parts[position],
                mode=_MODES[team.spot.mode],
                subordinates=team.spot.subordinates,
                gpu_layers=team.spot.gpu_layers,
            )
            for rank, (position, team) in enumerate(self._led[: max(0, limit)], start=1)
        ]

    def _ranked(self, limit: int, listed: set[str]) -> list[WorkerExplanation]:
        found = self._found
        explanations: list[WorkerExplanation] = []
        fits = found.candidates.fits
        for row in found.ranking.order[: max(0, limit + len(listed))].tolist():
            worker = found.candidates.view.worker(row)
            if worker in listed:
                continue
            explanations.append(
                WorkerExplanation(
                    worker=worker,
                    rank=len(self._led) + len(explanations) + 1,
                    score=float(found.ranking.score[row]),
                    score_parts=found.ranking.parts(row),
                    mode=_MODES[int(fits.mode[row])],
                    gpu_layers=int(fits.gpu_layers[row]),
                )
            )
        return explanations[: max(0, limit)]

    def _kept_apart(self, limit: int) -> list[WorkerExplanation]:
        if not self._apart:
            return []
        rows = np.flatnonzero(self._kept & self._short & ~self._refused_rows())
        order = rows[np.argsort(self._found.view.ties()[rows], kind="stable")]
        return [
            WorkerExplanation(worker=worker, rejections=(self._apart.rejection(worker),))
            for worker in map(self._found.view.worker, map(int, order[: max(0, limit)]))
        ]

    def _too_small(self, limit: int) -> list[WorkerExplanation]:
        found = self._found
        rows = np.flatnonzero(self._short & ~self._kept & ~self._refused_rows() & ~self._in_a_team())
        if limit <= 0 or not len(rows):
            return []
        distance = found.packing.distance(found.view)[rows]
        closest = rows[np.lexsort((found.view.ties()[rows], distance))[:limit]]
        near = found.view.rows(closest)
        return [
            WorkerExplanation(worker=near.worker(row), rejections=why)
            for row, why in enumerate(found.packing.rejections(near))
        ]

    def _filtered(self, limit: int, listed: set[str]) -> list[WorkerExplanation]:
        """Those that came furthest through the filters first."""
        sieve, rows = self._found.sieve, self._found.snapshot.rows
        slots = np.flatnonzero(self._found.snapshot.columns.present & (sieve.rejected_by != PASSED))
        order = np.lexsort((self._ties(slots), -sieve.rejected_by[slots]))[: max(0, limit + len(listed))]
        explanations = [
            WorkerExplanation(worker=rows.at(slot).name, rejections=sieve.rejections(slot))
            for slot in map(int, slots[order])
            if rows.at(slot).name not in listed
        ]
        return explanations[: max(0, limit)]

    def _refused_rows(self) -> Mask:
        refused = [self._found.view.row_of(item.worker) for item in self._found.by_hand]
        mask = np.zeros(len(self._short), np.bool_)
        mask[[row for row in refused if row is not None]] = True
        return mask

    def _in_a_team(self) -> Mask:
        """Workers that lead a team, or serve in the best, may be too small alone: they are not rejected for it."""
        mask = np.zeros(len(self._short), np.bool_)
        if self._found.teams:
            rows = [self._found.view.row_of(worker) for worker in self._found.teams[0].spot.subordinates]
            mask[[row for row in rows if row is not None]] = True
            mask[[team.leader for team in self._found.teams]] = True
        return mask

    def _ties(self, slots: NDArray[np.intp]) -> NDArray[np.uint64]:
        return tie_order(self._found.snapshot.columns.identity[slots], self._found.request.seed)
