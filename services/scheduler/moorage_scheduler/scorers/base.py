"""What a scorer is."""

from typing import Protocol

from moorage_scheduler.core.candidates import Candidates
from moorage_scheduler.core.snapshot import Floats


class Scorer(Protocol):
    """One preference among workers on which a model fits.

    A scorer answers raw numbers, more being better. It neither normalises nor weighs them: `core.ranking`
    does both, for all scorers alike.
    """

    @property
    def name(self) -> str:
        """Its name in explanations, and of its weight in the policy."""
        ...

    @property
    def bounds(self) -> tuple[float, float]:
        """The raw numbers that become 0 and 1. Fixed, so that who else is a candidate changes no order."""
        ...

    def raw(self, candidates: Candidates) -> Floats:
        """Returns one number per candidate."""
        ...
