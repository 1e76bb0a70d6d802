"""The workers among which a score decides."""

from dataclasses import dataclass

from moorage_scheduler.core.offer import View
from moorage_scheduler.core.packing import Fits, Packing


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Candidates:
    """Workers on which a model fits alone, and how; one row each."""

    view: View
    packing: Packing
    fits: Fits
