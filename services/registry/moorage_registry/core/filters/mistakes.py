"""Says in words where the text of a filter stops being one."""

import re

from lark import Token, UnexpectedCharacters, UnexpectedInput, UnexpectedToken

from moorage_common.core.errors import InvalidArgument
from moorage_registry.core.filters.problems import shortened, wrong_filter

_WORD = re.compile(r"[^\s()]+")


def explain(text: str, error: UnexpectedInput) -> InvalidArgument:
    """Returns the error of a text that is no filter.

    Args:
        text: The filter.
        error: What the parser says of it.
    """
    start = _start(text, error)
    found = text[start : start + 1]
    return wrong_filter(start + 1, _what(_expected(error), found, text[:start]))


def _start(text: str, error: UnexpectedInput) -> int:
    if isinstance(error, UnexpectedToken) and error.token.type == "$END":
        return len(text)
    if isinstance(error, UnexpectedToken) and isinstance(error.token, Token):
        return error.token.start_pos or 0
    return error.pos_in_stream or 0


def _expected(error: UnexpectedInput) -> set[str]:
    """Returns the names of the grammar's terminals that could have stood there."""
    if isinstance(error, UnexpectedToken):
        return set(error.accepts or error.expected)
    if isinstance(error, UnexpectedCharacters):
        return set(error.allowed or ())
    return set()


def _what(expected: set[str], found: str, before: str) -> str:
    if found in ("'", '"') and "STRING" in expected:
        return "the quotation that starts here does not end"
    if "COMPARATOR" in expected:
        return _no_comparison(found, before)
    if "VALUE" in expected:
        return "expected a value" + (
            "; to compare with several, repeat the field: a = 1 OR a = 2" if found == "(" else ""
        )
    if "SEGMENT" in expected:
        return "expected a field, NOT or ("
    if "KEY" in expected:
        return "expected a name after the dot"
    return _no_continuation(found, before)


def _no_comparison(found: str, before: str) -> str:
    if found == "(":
        return "functions are not supported"
    return (
        f"expected one of = != < <= > >= : after {shortened(_WORD.findall(before)[-1])}; "
        "a word alone is not searched for, name the field that should hold it"
    )


def _no_continuation(found: str, before: str) -> str:
    if found == ")":
        return "this ) has no ("
    if not found:
        return "expected ), for a ( is still open"
    return "expected AND, OR or the end" + (
        "" if before[-1:].isspace() else "; a value with such a character goes into quotation marks"
    )
