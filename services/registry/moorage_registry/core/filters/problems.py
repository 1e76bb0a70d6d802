"""How a filter or an order is refused: always with the place where it is wrong."""

from collections.abc import Collection
from difflib import get_close_matches

from moorage_common.core.errors import ErrorReason, FieldViolation, InvalidArgument

_REMEDY = "docs/filters.md shows the syntax, and the fields of every list."


def wrong_filter(position: int, what: str) -> InvalidArgument:
    """Returns the error of a filter.

    Args:
        position: Where it is wrong, in characters, the first being 1; one past the last if something is missing there.
        what: What is wrong, and what was expected.
    """
    return _wrong("filter", ErrorReason.FILTER_INVALID, position, what)


def wrong_order(position: int, what: str) -> InvalidArgument:
    """Returns the error of an order, as `wrong_filter` does."""
    return _wrong("order_by", ErrorReason.ORDER_BY_INVALID, position, what)


def choices(given: str, known: Collection[str]) -> str:
    """Words what could have been given: the one that was probably meant, and all of them."""
    close = get_close_matches(given, known, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    return f"{hint}There are: {', '.join(known)}"


def shortened(text: str) -> str:
    """Returns a text as it is shown in an error."""
    return text if len(text) <= 40 else f"{text[:39]}…"


def _wrong(field: str, reason: ErrorReason, position: int, what: str) -> InvalidArgument:
    return InvalidArgument(
        f"{field} is wrong at character {position}: {what}",
        reason=reason,
        remedy=_REMEDY,
        metadata={"position": str(position)},
        violations=[FieldViolation(field, f"at character {position}: {what}")],
    )
