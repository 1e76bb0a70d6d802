"""The workers among which a score decides."""

from dataclasses import dataclass

from moorage_scheduler.core.request import Request
from moorage_scheduler.core.search import Demand, Fits, Offer
from moorage_scheduler.core.snapshot import Snapshot


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Candidates:
    """Workers on which a model fits, and how; one row each."""

    snapshot: Snapshot
    request: Request
    demand: Demand
    offer: Offer
    fits: Fits
