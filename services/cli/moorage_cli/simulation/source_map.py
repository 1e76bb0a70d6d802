"""Which part of a request stands where in the files that it was made of: for what the scheduler says of the request."""

import re
from collections.abc import Iterable, Iterator

from moorage_cli.simulation.mistakes import Mistake, Place, file_invalid
from moorage_common.core.errors import FieldViolation, InvalidArgument

_STEP = re.compile(r"\.?[^.\[]+|\[[^\]]*\]")


class SourceMap:
    """Places by paths in the request, as violations name them: "workers[3].accelerators[1].memory_total_bytes"."""

    def __init__(self) -> None:
        self._places: dict[str, Place] = {}
        self._copies: dict[str, str] = {}

    def note(self, path: str, place: Place) -> None:
        """Remembers where a part stands."""
        self._places[path] = place

    def note_copy(self, path: str, of: str) -> None:
        """Remembers that a part is one of several that are written once."""
        self._copies[path] = of

    def get(self, path: str) -> Place | None:
        """Returns where this very part stands. None: nowhere."""
        return self._places.get(path)

    def find(self, path: str) -> Place | None:
        """Returns where a part stands, or what it is a part of. None: in no file."""
        found: Place | None = None
        at = ""
        for step in _steps(path):
            at = self._copies.get(at + step, at + step)
            found = self._places.get(at, found)
        return found

    def located(self, error: InvalidArgument) -> InvalidArgument:
        """Returns an error about the request as one about the files; as it is if the files have no part in it."""
        mistakes = list(self.mistakes(error.violations))
        if not mistakes:
            return error
        elsewhere = [each for each in error.violations if self.find(each.field) is None]
        return file_invalid(mistakes, elsewhere)

    def mistakes(self, violations: Iterable[FieldViolation]) -> Iterator[Mistake]:
        """Yields the violations of what stands in the files."""
        for violation in violations:
            place = self.find(violation.field)
            if place is not None:
                yield Mistake(place, violation.description)


def _steps(path: str) -> list[str]:
    return _STEP.findall(path)
