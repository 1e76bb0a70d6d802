"""Page tokens: where a page ended, bound to the query that it belongs to."""

import base64
import binascii
import json

from moorage_common.core.errors import ErrorReason, FieldViolation, InvalidArgument

DEFAULT_SIZE = 100
MAXIMUM_SIZE = 1000


def page_size(asked: int) -> int:
    """Returns how many results a page has: 0 asks for the default, too many for the maximum."""
    return min(asked or DEFAULT_SIZE, MAXIMUM_SIZE)


def encode(query: str, key: tuple[str, ...]) -> str:
    """Returns the token of the page after a key."""
    return base64.urlsafe_b64encode(json.dumps([query, *key]).encode()).decode()


def decode(query: str, token: str, *, parts: int) -> tuple[str, ...] | None:
    """Returns the key, of so many parts, that a page starts after; None for the first.

    Raises:
        InvalidArgument: The token is not one of this query (PAGE_TOKEN_INVALID).
    """
    if not token:
        return None
    try:
        asked, *key = json.loads(base64.urlsafe_b64decode(token.encode()))
    except (binascii.Error, ValueError, TypeError, RecursionError):
        asked, key = None, []
    if asked != query or len(key) != parts or not all(map(_is_plain, key)):
        violation = FieldViolation("page_token", "is not a next_page_token of this query")
        raise InvalidArgument(
            "the page token is not one of this query",
            reason=ErrorReason.PAGE_TOKEN_INVALID,
            remedy="List from the start, without a page token.",
            violations=[violation],
        )
    return tuple(key)


def _is_plain(part: object) -> bool:
    """Whether it may be part of a key; a lone surrogate or a NUL would not even get to the database."""
    return isinstance(part, str) and part.isascii() and part.isprintable()
