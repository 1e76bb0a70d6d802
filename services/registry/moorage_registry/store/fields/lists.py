"""Lists as they are stored: arrays, and arrays in JSON."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import String, and_, func, literal, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql.functions import FunctionElement

from moorage_common.core.names import NamePattern
from moorage_registry.core.filters.conditions import Test
from moorage_registry.core.filters.types import Enumeration, FieldType, ListOf, Name, Text
from moorage_registry.store.fields.names import full_name
from moorage_registry.store.fields.stored import Sql, StoredField, Truth, text_condition


class StoredList(StoredField):
    """Several values of one row."""

    def __init__(
        self, name: str, element: FieldType, elements: FunctionElement[Any], value: Callable[[Sql], Sql]
    ) -> None:
        """Describes the field.

        Args:
            name: Its full name.
            element: What each element holds: a text, a name, or an enum's member.
            elements: The function that gives the elements of a row, one by one.
            value: Makes a value of an element.
        """
        super().__init__(name, ListOf(element))
        self._elements = elements
        self._value = value

    def condition(self, test: Test) -> Truth:
        """Returns what finds the rows of which one element passes."""
        element = self._elements.column_valued("element")
        value = self._value(element)
        return select(literal(1)).where(and_(value.is_not(None), text_condition(value, test))).exists()


def texts(name: str, array: Sql) -> StoredList:
    """An array of texts."""
    return StoredList(name, Text(), func.unnest(array), lambda element: element)


def names(name: str, pattern: NamePattern, array: Sql) -> StoredList:
    """An array of the ids of resources."""
    return StoredList(name, Name(pattern), func.unnest(array), lambda element: full_name(pattern, element))


def json_names(name: str, pattern: NamePattern, array: Sql) -> StoredList:
    """An array of whole names, in JSON."""
    return StoredList(name, Name(pattern), func.jsonb_array_elements_text(array), lambda element: element)


def json_members(name: str, element: Text | Enumeration | Name, array: Sql, *, key: str) -> StoredList:
    """One field of the objects of an array, in JSON."""

    def value(item: Sql) -> Sql:
        text = item[key].astext
        return (
            func.substr(text, len(element.prefix) + 1, type_=String)
            if isinstance(element, Enumeration)
            else text
        )

    return StoredList(name, element, func.jsonb_array_elements(array, type_=JSONB), value)
