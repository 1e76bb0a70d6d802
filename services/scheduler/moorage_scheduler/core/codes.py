"""Small numbers for the members of enums, so that columns can hold them."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from moorage_common.core.placement import CpuArchitecture, OperatingSystem, PlacementReason
from moorage_common.core.states import AcceleratorKind, EngineKind, WorkerState

E = TypeVar("E", bound=StrEnum)


class Codes(Generic[E]):
    """The members of one enum, numbered from 1 in the order of their definition. 0 stands for none."""

    def __init__(self, enum: type[E]) -> None:
        self._members = tuple(enum)
        self._codes = {member: code for code, member in enumerate(self._members, start=1)}

    def __len__(self) -> int:
        """How many codes there are, 0 included."""
        return len(self._members) + 1

    def of(self, member: E | None) -> int:
        """The member's code."""
        return 0 if member is None else self._codes[member]

    def member(self, code: int) -> E | None:
        """The code's member."""
        return self._members[code - 1] if code else None

    def bits(self, members: Iterable[E]) -> int:
        """A set of members as a number, one bit each."""
        return sum(1 << self._codes[member] for member in frozenset(members))

    def among(self, column: NDArray[Any], members: Iterable[E]) -> NDArray[np.bool_]:
        """Which entries of a column of codes are one of the members."""
        allowed = np.zeros(len(self), np.bool_)
        allowed[[self._codes[member] for member in frozenset(members)]] = True
        return np.asarray(allowed[column])


STATES = Codes(WorkerState)
SYSTEMS = Codes(OperatingSystem)
ARCHITECTURES = Codes(CpuArchitecture)
ACCELERATORS = Codes(AcceleratorKind)
ENGINES = Codes(EngineKind)
REASONS = Codes(PlacementReason)
