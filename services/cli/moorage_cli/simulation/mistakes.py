"""What is wrong with files, with where it stands; all of it at once."""

from collections.abc import Iterable
from dataclasses import dataclass

from moorage_common.core.errors import FieldViolation, InvalidArgument

_LISTED = 100
"""What a program wrote has one mistake a thousand times; nobody reads on."""


class FileInvalid(InvalidArgument):
    """A file that a command was given is wrong: as with a wrong option, the exit code says wrong usage."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where something stands in a file."""

    file: str
    line: int
    """From 1."""
    column: int
    """From 1."""
    label: str = ""
    """What stands there, in the words of the file: "workers[3].gpus[0].memory"."""

    def __str__(self) -> str:
        """Says it as editors and compilers do, "fleet.yaml:12:7"."""
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing wrong."""

    place: Place
    told: str
    """What is wrong, and what would be allowed."""


class Mistakes:
    """Gathers what is wrong, so that nobody has to correct a file one mistake at a time."""

    def __init__(self) -> None:
        self._found: list[Mistake] = []
        self._keys: dict[str, set[str]] = {}

    def add(self, place: Place, told: str) -> None:
        """Takes in one more."""
        self._found.append(Mistake(place, told))
        above = ""
        for key in place.label.split("."):
            self._keys.setdefault(above, set()).add(key.partition("[")[0])
            above = f"{above}.{key}" if above else key

    def keys_below(self, label: str) -> frozenset[str]:
        """Returns at which keys something is wrong, of a mapping by its label."""
        return frozenset(self._keys.get(label, ()))

    def has_about(self, label: str) -> bool:
        """Whether something is wrong with a part, by its label, or within it."""
        return label in self._keys or any(label == mistake.place.label for mistake in self._found)

    def check(self) -> None:
        """Goes on if nothing is wrong.

        Raises:
            FileInvalid: Something is; every mistake is listed, in the order of the files.
        """
        if self._found:
            raise file_invalid(self._found)


def file_invalid(mistakes: Iterable[Mistake], elsewhere: Iterable[FieldViolation] = ()) -> FileInvalid:
    """Returns the error that lists mistakes, in the order of the files.

    Args:
        mistakes: What is wrong in files.
        elsewhere: What is wrong besides.
    """
    # What is written once and stands for many is wrong once.
    found = list({(m.place.file, m.place.line, m.place.column, m.told): m for m in mistakes}.values())
    files = list(dict.fromkeys(mistake.place.file for mistake in found))
    found.sort(key=lambda m: (files.index(m.place.file), m.place.line, m.place.column))
    violations = [
        FieldViolation(
            field=f"{m.place}: {m.place.label}" if m.place.label else str(m.place), description=m.told
        )
        for m in found[:_LISTED]
    ]
    more = f"; the first {_LISTED} are these" if len(found) > _LISTED else ""
    noun = "mistake" if len(found) == 1 else "mistakes"
    return FileInvalid(
        f"{len(found)} {noun} in {', '.join(files)}{more}", violations=[*violations, *elsewhere]
    )
