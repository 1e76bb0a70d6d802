"""What a view makes of messages: lines, tables and bars that have no look yet."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Tone(StrEnum):
    """How much a line wants to be seen."""

    PLAIN = "PLAIN"
    STRONG = "STRONG"
    QUIET = "QUIET"
    TROUBLE = "TROUBLE"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of text. An empty one separates."""

    text: str = ""
    tone: Tone = Tone.PLAIN


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """Memory, and who has it. What the others leave is free."""

    claimed: int
    foreign: int
    reserved: int
    total: int


Cell = str | Bar


@dataclass(frozen=True, slots=True)
class Rows:
    """A table."""

    columns: tuple[str, ...]
    cells: tuple[tuple[Cell, ...], ...]
    indent: int = 0
    """Blanks before each line."""


Block = Line | Rows
Page = Sequence[Block]


def filled(bar: Bar, width: int) -> tuple[int, ...]:
    """Returns how many of so many cells are claimed, foreign and reserved; what is there at all takes one.

    The whole never takes more than there is, and never all of it while something is free.
    """
    parts = (bar.claimed, bar.foreign, bar.reserved)
    if bar.total <= 0:
        return (0, 0, 0)
    room = width if sum(parts) >= bar.total else width - 1
    cells: list[int] = []
    for part in parts:
        wanted = max(round(part * width / bar.total), 1) if part > 0 else 0
        cells.append(min(wanted, room - sum(cells)))
    return tuple(cells)
