"""What a worker has, as far as speed depends on it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

USUAL_RAM_BYTES_PER_S = 204.8e9
"""Of a usual server: eight channels of DDR4-3200, as one socket of AMD's EPYC 7003 has them."""
USUAL_CORES = 32
USUAL_NETWORK_BYTES_PER_S = 1.25e9
"""10 gigabit Ethernet."""
USUAL_ROUND_TRIP_S = 100e-6
"""Of small messages over TCP between two hosts on one switch, the waking of who waits for them included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerHardware:
    """One worker. What is 0 or empty is not known, and taken for what is usual."""

    products: Mapping[str, str] = field(default_factory=dict)
    """Per accelerator, by the name of its memory pool, its product's name."""
    unified_memory: bool = False
    """Whether CPU and accelerators share one memory, which is the RAM pool."""
    cpu: str = ""
    """The CPU's product name, by which measurements are brought together."""
    cpu_cores: int = 0
    ram_bytes_per_s: float = 0.0
    """From RAM, all cores together, at most."""
    cache_bytes: int = 0
    """How much the CPU's last cache holds for one process. 0: nothing worth counting on."""
    network_bytes_per_s: float = 0.0
    round_trip_s: float = 0.0
    """Of small messages over the network."""

    @property
    def ram_speed(self) -> float:
        """Bytes a second from RAM."""
        return self.ram_bytes_per_s or USUAL_RAM_BYTES_PER_S

    @property
    def cores(self) -> int:
        """Cores that engines may use."""
        return self.cpu_cores or USUAL_CORES

    @property
    def network_speed(self) -> float:
        """Bytes a second over the network."""
        return self.network_bytes_per_s or USUAL_NETWORK_BYTES_PER_S

    @property
    def round_trip(self) -> float:
        """Seconds of a round trip over the network."""
        return self.round_trip_s or USUAL_ROUND_TRIP_S
