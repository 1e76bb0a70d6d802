"""How a filter or an order is refused: always with the place where it is wrong."""

from collections.abc import Collection
from difflib import get_close_matches

from moorage_common.core.errors import ErrorReason, FieldViolation, InvalidArgument

_REMEDY = "docs/filters.md shows the syntax, and the fields of every list."


def wrong_filter(
    position: int, what: str, *, known: Collection[str] = (), given: str = ""
) -> InvalidArgument:
    """Returns the error of a filter.

    Args:
        position: Where it is wrong, in characters, the first being 1; one past the last if something is missing there.
        what: What is wrong, and what was expected.
        known: What could have been given there; the violation lists it.
        given: What was given instead: what of the known is like it was probably meant.
    """
    return _wrong("filter", ErrorReason.FILTER_INVALID, position, _guess(what, known, given), known)


def wrong_order(position: int, what: str, *, known: Collection[str] = (), given: str = "") -> InvalidArgument:
    """Returns the error of an order, as `wrong_filter` does."""
    return _wrong("order_by", ErrorReason.ORDER_BY_INVALID, position, _guess(what, known, given), known)


def shortened(text: str) -> str:
    """Returns a text as it is shown in an error."""
    return text if len(text) <= 40 else f"{text[:39]}…"


def _guess(what: str, known: Collection[str], given: str) -> str:
    close = get_close_matches(given, known, n=1)
    return f"{what}; did you mean {close[0]}?" if close else what


def _wrong(
    field: str, reason: ErrorReason, position: int, what: str, known: Collection[str]
) -> InvalidArgument:
    choices = f" (there are: {', '.join(known)})" if known else ""
    return InvalidArgument(
        f"{field} is wrong at character {position}: {what}",
        reason=reason,
        remedy=_REMEDY,
        metadata={"position": str(position)},
        violations=[FieldViolation(field, f"at character {position}: {what}{choices}")],
    )
