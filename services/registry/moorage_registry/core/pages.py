"""Page tokens: where a page ended, bound to the query that it belongs to."""

import base64
import binascii
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import isfinite

from moorage_common.core.errors import ErrorReason, FieldViolation, InvalidArgument

DEFAULT_SIZE = 100
MAXIMUM_SIZE = 1000

Value = str | int | float | bool | datetime | None


@dataclass(frozen=True, slots=True)
class Slot:
    """One value of a position, such as a column that the list is ordered by."""

    kind: type
    """str, int, float, bool or datetime."""
    nullable: bool = False


def page_size(asked: int) -> int:
    """Returns how many results a page has: 0 asks for the default, too many for the maximum."""
    return min(asked or DEFAULT_SIZE, MAXIMUM_SIZE)


def query_id(*parts: str) -> str:
    """Returns what identifies a query: what is listed, which of it, and in which order."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def encode(query: str, position: Sequence[Value]) -> str:
    """Returns the token of the page after a position."""
    values = [value.isoformat() if isinstance(value, datetime) else value for value in position]
    packed = json.dumps([query, *values], ensure_ascii=False, separators=(",", ":"))
    return base64.urlsafe_b64encode(packed.encode()).decode()


def decode(query: str, token: str, slots: Sequence[Slot]) -> tuple[Value, ...] | None:
    """Returns the position that a page starts after; None for the first page.

    Raises:
        InvalidArgument: The token is not one of this query (PAGE_TOKEN_INVALID).
    """
    if not token:
        return None
    try:
        asked, *values = json.loads(base64.urlsafe_b64decode(token.encode()))
        if asked == query:
            return tuple(_restore(value, slot) for value, slot in zip(values, slots, strict=True))
    except (binascii.Error, ValueError, TypeError, RecursionError, OverflowError):
        pass
    raise InvalidArgument(
        "the page token is not one of this query",
        reason=ErrorReason.PAGE_TOKEN_INVALID,
        remedy="List from the start, without a page token; parent, filter and order_by must stay the same.",
        violations=[FieldViolation("page_token", "is not a next_page_token of this query")],
    )


def _restore(value: object, slot: Slot) -> Value:
    """Returns a value as it was before it was encoded.

    Raises:
        ValueError: It is none that such a column could hold.
    """
    if value is None and slot.nullable:
        return None
    if slot.kind is datetime and isinstance(value, str):
        return datetime.fromisoformat(value).astimezone(UTC)
    if isinstance(value, str | int | float | bool) and type(value) is slot.kind and _is_storable(value):
        return value
    raise ValueError("no value of the column")


def _is_storable(value: str | float) -> bool:
    """Whether the database could hold it; a lone surrogate or a NUL would not even get there."""
    if isinstance(value, float):
        return isfinite(value)
    if isinstance(value, int):
        return -(1 << 63) <= value < 1 << 63
    value.encode()
    return "\0" not in value
