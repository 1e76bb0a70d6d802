"""Versions: of engines, as models wish for them; of drivers and compute capabilities, as numbers to compare."""

import re

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

UNKNOWN = 2**62
"""The number of a version that is not known: it is taken for new enough."""

_NUMBERS = re.compile(r"v?(\d{1,9}(?:\.\d{1,9})*)", re.ASCII)
_PART = 2**15
_PARTS = 4


class VersionWish:
    """Which versions of an engine would do: one as workers report it, or conditions on it (PEP 440)."""

    def __init__(self, text: str) -> None:
        self._text = text.strip()
        self._conditions: SpecifierSet | None
        try:
            self._conditions = SpecifierSet(self._text)
        except InvalidSpecifier:
            self._conditions = None

    def allows(self, version: str) -> bool:
        """Tells whether a version would do. An unknown one does only if any would."""
        if not self._text or version == self._text:
            return True
        if self._conditions is None:
            return False
        try:
            return self._conditions.contains(Version(version), prereleases=True)
        except InvalidVersion:
            return False


def parse(text: str) -> tuple[int, ...]:
    """Returns the numbers that a version starts with: (535, 104, 5) for ``535.104.05``. Empty: there are none."""
    found = _NUMBERS.match(text.strip())
    return tuple(int(part) for part in found[1].split(".")) if found else ()


def order_of(version: str) -> tuple[tuple[int, ...], str]:
    """Returns what orders versions as people write them, the earliest first."""
    return parse(version), version


def number(version: tuple[int, ...]) -> int:
    """Returns a number that orders versions. Empty: `UNKNOWN`, above them all."""
    if not version:
        return UNKNOWN
    total = 0
    for position in range(_PARTS):
        total = total * _PART + min(version[position] if position < len(version) else 0, _PART - 1)
    return total
