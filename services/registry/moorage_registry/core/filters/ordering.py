"""Reads `order_by`: fields with commas between them, each with `` desc`` where the greatest comes first."""

import re
from dataclasses import dataclass

from moorage_registry.core.filters.checks import Fields
from moorage_registry.core.filters.problems import shortened, wrong_order

MAX_LENGTH = 512
"""Characters of an order at most."""
MAX_FIELDS = 6

_PART = re.compile(r"[^,]+|(?<=,)(?=,|$)|^(?=,)")
_WORD = re.compile(r"\S+")


@dataclass(frozen=True, slots=True)
class Order:
    """One field that a list is ordered by."""

    field: str
    descending: bool = False


def parse_order(text: str, fields: Fields) -> tuple[Order, ...]:
    """Returns what a list is ordered by, the most important first; nothing for the empty order.

    Raises:
        InvalidArgument: It is no order of this list (ORDER_BY_INVALID); the violation says where and why.
    """
    if len(text) > MAX_LENGTH:
        raise wrong_order(MAX_LENGTH + 1, f"an order has at most {MAX_LENGTH} characters")
    if not text or text.isspace():
        return ()
    orders: list[Order] = []
    for part in _PART.finditer(text):
        order = _parse_part(part[0], part.start(), fields)
        position = part.start() + len(part[0]) - len(part[0].lstrip()) + 1
        if order.field in {earlier.field for earlier in orders}:
            raise wrong_order(position, f"{order.field} is there twice")
        if len(orders) == MAX_FIELDS:
            raise wrong_order(position, f"an order has at most {MAX_FIELDS} fields")
        orders.append(order)
    return tuple(orders)


def _parse_part(part: str, start: int, fields: Fields) -> Order:
    words = [(word[0], start + word.start() + 1) for word in _WORD.finditer(part)]
    if not words:
        raise wrong_order(start + len(part) + 1, "expected a field")
    field, position = words[0]
    sortable = [name for name, kind in fields.items() if kind.is_sortable]
    if field not in sortable:
        what = f"nothing is ordered by {shortened(field)}"
        raise wrong_order(position, what, known=sortable, given=field)
    for word, position in words[1:2]:
        if word not in {"asc", "desc"}:
            raise wrong_order(position, f"expected desc or a comma after {field}")
    for _, position in words[2:]:
        raise wrong_order(position, "expected a comma or the end")
    return Order(field, descending=len(words) == 2 and words[1][0] == "desc")
