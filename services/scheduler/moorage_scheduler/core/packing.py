"""How a model lies on workers: what every kind of engine answers in its own way.

    layers   llama.cpp: whole layers, on GPUs and in RAM
    shards   vLLM: every layer cut over GPUs that are claimed by a part of their memory

A packing is made for one request. It adds up; which workers it may look at, and which of those that would do is
best, others decide.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from moorage_scheduler.core.explanation import Rejection
from moorage_scheduler.core.offer import View, every
from moorage_scheduler.core.parallel import ParallelShape
from moorage_scheduler.core.request import Claim
from moorage_scheduler.core.snapshot import Floats, Int64s


class Mode(IntEnum):
    """How a model lies on the fleet; higher is better. The names are those of `PlacementMode`."""

    NOWHERE = 0
    CPU = 1
    """Everything in RAM."""
    PARTLY = 2
    """The last layers on GPUs, the others in RAM."""
    DISTRIBUTED_PARTLY = 3
    """The last layers on GPUs of several workers, the others in RAM."""
    DISTRIBUTED = 4
    """Everything on GPUs of several workers."""
    SEVERAL_GPUS = 5
    ONE_GPU = 6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fits:
    """How the model lies on each worker alone, one entry per row of the offer."""

    mode: NDArray[np.uint8]
    gpu_layers: Int64s
    """Layers on GPUs; where the mode is NOWHERE, as many as would have fitted there."""
    gpus: Int64s
    """GPUs that hold them."""
    reason: NDArray[np.uint8]
    """Where it does not fit: the first reason why, by `codes.REASONS`."""
    way: NDArray[np.intp]
    """Which of the packing's own ways to lie it is, where there are several of a mode."""

    def rows(self, chosen: NDArray[np.intp]) -> "Fits":
        """Only these rows, in this order."""
        if every(chosen, len(self.mode)):
            return self
        return Fits(**{field.name: getattr(self, field.name)[chosen] for field in fields(self)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """Where exactly an instance would be, and what it would hold."""

    claims: tuple[Claim, ...]
    mode: Mode
    gpu_layers: int
    subordinates: tuple[str, ...] = ()
    parallel: ParallelShape | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Team:
    """Several workers that would serve the model together."""

    leader: int
    """The row of the one that leads."""
    spot: Spot
    usable: int
    """Bytes of GPU memory that the leader brings."""
    rank: tuple[int, ...]
    """What orders a packing's teams, best first."""
    engine_version: str = ""
    """The version of the engine that all of them run. Empty: not known."""


@dataclass(frozen=True, slots=True)
class Obstacles:
    """What stands in a model's own way, whatever workers have: there is no packing of it."""

    rejections: tuple[Rejection, ...]


class Packing(Protocol):
    """How one model lies on workers."""

    @property
    def total_layers(self) -> int:
        """Layers of the model, the output layer counting as one."""
        ...

    @property
    def context_length(self) -> int:
        """Tokens that claims are for."""
        ...

    def alone(self, view: View) -> Fits:
        """Returns how the model lies on each worker alone."""
        ...

    def settle(self, view: View, fits: Fits, row: int) -> Spot:
        """Returns which GPUs of a worker on which it fits take what."""
        ...

    def together(self, view: View, limit: int) -> Sequence[Team]:
        """Returns the workers that would serve it together, best first, at most so many. Empty: none could."""
        ...

    def fullness(self, view: View, fits: Fits) -> Floats:
        """Returns how full each worker's memory would be that the model goes to, from 0 to 1."""
        ...

    def closeness(self, view: View, fits: Fits) -> Floats:
        """Returns how close to each other the GPUs would be that the model goes to, from 0 to 1; 1: there is one."""
        ...

    def distance(self, view: View) -> Int64s:
        """Returns how many bytes each worker on which it does not fit is short of."""
        ...

    def rejections(self, view: View) -> list[tuple[Rejection, ...]]:
        """Returns why each worker, on which it does not fit, is too small, and what would help."""
        ...
