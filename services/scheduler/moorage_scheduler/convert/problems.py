"""Everything that is wrong with one request, gathered while the rest of it is read."""

from collections.abc import Collection
from itertools import islice

from moorage_common.core.errors import FieldViolation, InvalidArgument

_SAID = 3


class Problems:
    """Violations of fields, by their paths in the request."""

    def __init__(self) -> None:
        self._found: list[FieldViolation] = []

    def add(self, field: str, description: str) -> None:
        """Takes in one more."""
        self._found.append(FieldViolation(field=field, description=description))

    def __len__(self) -> int:
        """How many there are."""
        return len(self._found)

    def check(self) -> None:
        """Goes on if there is none.

        Raises:
            InvalidArgument: There are some; all of them are listed.
        """
        if self._found:
            said = "; ".join(f"{each.field}: {each.description}" for each in self._found[:_SAID])
            left = len(self._found) - _SAID
            more = f"; and {left} more" if left > 0 else ""
            raise InvalidArgument(f"the request is invalid: {said}{more}", violations=self._found)


def alternatives(names: Collection[str], *, at_most: int = 8) -> str:
    """Returns what there is instead, for a sentence: "a, b and 3 more"."""
    told = ", ".join(islice(names, at_most))
    return f"{told} and {len(names) - at_most} more" if len(names) > at_most else told or "none"
