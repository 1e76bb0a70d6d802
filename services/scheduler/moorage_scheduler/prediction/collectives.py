"""How long tensor ranks take to add up what each of them computed: NCCL's own model of its rings and trees."""

from dataclasses import dataclass
from math import ceil, log2

from moorage_scheduler.prediction.accelerators import Link

_BASE_S = 6.6e-6
"""Before anything is sent: ``baseLat`` in NCCL's src/graph/tuning.cc, ring and low-latency protocol."""
_STEP_S = {Link.NVLINK: 0.6e-6, Link.XGMI: 0.6e-6, Link.HCCS: 1.0e-6, Link.PCIE: 1.0e-6, Link.NONE: 1.0e-6}
"""From one card to the next: ``hwLat`` in the same file; XGMI as NVLink and HCCS as PCIe are assumed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ring:
    """Cards that add up together."""

    ranks: int
    workers: int
    link: Link
    """Of cards on one worker."""
    link_bytes_per_s: float
    """The slowest link of the ring."""
    network_step_s: float
    """From one worker to the next."""

    def all_reduce_s(self, size: float) -> float:
        """Seconds to add up so many bytes of every rank."""
        if self.ranks == 1:
            return 0.0
        return _BASE_S + self._steps_s() + self.transfer_s(size)

    def transfer_s(self, size: float) -> float:
        """Seconds that the bytes alone take."""
        return 2 * (self.ranks - 1) / self.ranks * size / self.link_bytes_per_s

    def _steps_s(self) -> float:
        """By a ring or by a tree, whichever is faster."""
        step = _STEP_S[self.link]
        hops = 2 * (self.workers - 1)
        ring = (2 * (self.ranks - 1) - hops) * step + hops * self.network_step_s
        levels = ceil(log2(self.workers)) if self.workers > 1 else 0
        tree = 2 * ((self.ranks / self.workers - 1) * step + levels * self.network_step_s)
        return min(ring, tree)
