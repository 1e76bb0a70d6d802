"""What of a list is wanted, and in which order."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass

from moorage_common.core.errors import InvalidArgument

_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_SELECTOR = re.compile(r"(?P<key>[^=!\s]+)\s*(?P<operator>!=|==?)\s*(?P<value>.*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What of a list is wanted."""

    filter: str = ""
    """As in AIP-160. Empty: everything."""
    order_by: str = ""
    """Fields, each with " desc" or without. Empty: the list's own order."""
    limit: int | None = None
    """At most so many. None: all."""

    def narrowed(self, *conditions: str) -> "Query":
        """Returns the query with further conditions, all of which must hold."""
        given = [condition for condition in (self.filter, *conditions) if condition]
        joined = " AND ".join(f"({each})" for each in given) if len(given) > 1 else "".join(given)
        return Query(filter=joined, order_by=self.order_by, limit=self.limit)


EVERYTHING = Query()


def is_equal(field: str, value: str) -> str:
    """Returns the condition that a field has a value."""
    return f"{field} = {quoted(value)}"


def quoted(text: str) -> str:
    """Returns a text as a filter has it."""
    return json.dumps(text, ensure_ascii=False)


def label_conditions(selectors: Iterable[str]) -> list[str]:
    """Returns the conditions that "zone=a", "zone!=b" or "zone=a,tier=gold" are.

    Raises:
        InvalidArgument: One of them is not understood.
    """
    parts = [part.strip() for selector in selectors for part in selector.split(",")]
    return [_label_condition(part) for part in parts]


def _label_condition(text: str) -> str:
    found = _SELECTOR.fullmatch(text)
    if found is None:
        raise InvalidArgument(
            f"{text!r} selects by no label",
            remedy="Write KEY=VALUE or KEY!=VALUE, several with commas; anything else by --filter.",
        )
    key = found["key"]
    condition = is_equal(f"labels.{key if _PLAIN_KEY.fullmatch(key) else quoted(key)}", found["value"])
    # "!=" alone would leave out what has no such label.
    return f"NOT {condition}" if found["operator"] == "!=" else condition
