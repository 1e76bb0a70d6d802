"""Workers that would serve one instance together: they run the same version of the engine.

Engines of different versions do not understand each other, or abort.
"""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from moorage_scheduler.core.offer import View
from moorage_scheduler.core.packing import Packing, Team


def teams(packing: Packing, view: View, limit: int) -> tuple[Team, ...]:
    """Returns the teams that would serve an instance, best first, at most so many, one for each leader."""
    request = view.request
    having = view.snapshot.rows.builds(request.engine, request.engine_version).shared
    found: list[Team] = []
    for version, mask in having.items():
        rows = np.flatnonzero(mask[view.offer.slots])
        same = view if len(rows) == len(view.offer.slots) else view.rows(rows)
        if len(rows) > 1:
            found += [
                replace(team, leader=int(rows[team.leader]), engine_version=version)
                for team in packing.together(same, limit)
            ]
    return tuple(_one_for_each_leader(sorted(found, key=lambda team: team.rank)))[:limit]


def _one_for_each_leader(ordered: Iterable[Team]) -> Iterable[Team]:
    best: dict[int, Team] = {}
    for team in ordered:
        best.setdefault(team.leader, team)
    return best.values()
