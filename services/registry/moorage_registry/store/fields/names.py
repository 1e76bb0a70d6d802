"""Names of resources as they are stored: without their collections, in one column or several."""

from sqlalchemy import String, and_, func, literal

from moorage_common.core.names import NamePattern
from moorage_registry.core.filters.conditions import Compares, Test
from moorage_registry.core.filters.types import Name
from moorage_registry.store.fields.stored import (
    SortKey,
    Sql,
    StoredField,
    Truth,
    sortable_text,
    text_condition,
)


class StoredName(StoredField):
    """The name of a resource, of whose ids each has a column."""

    def __init__(self, name: str, pattern: NamePattern, *ids: Sql, nullable: bool = False) -> None:
        """Describes the field.

        Args:
            name: The field's name.
            pattern: What the names look like.
            ids: The columns of the ids, outermost first.
            nullable: Whether a column can be NULL: then there is no such resource.
        """
        super().__init__(name, Name(pattern))
        self._pattern = pattern
        self._ids = ids
        self._nullable = nullable

    def condition(self, test: Test) -> Truth:
        """Returns what finds the rows; a whole name is looked up by its ids, which may have an index."""
        if isinstance(test, Compares) and test.operand:
            wanted = self._pattern.parse(str(test.operand))
            equal = [column == value for column, value in zip(self._ids, wanted, strict=True)]
            present = [column.is_not(None) for column in self._ids if self._nullable]
            return and_(*present, *equal)
        whole = full_name(self._pattern, *self._ids)
        return text_condition(func.coalesce(whole, literal("")) if self._nullable else whole, test)

    def sort_key(self) -> SortKey:
        """Returns what the rows are ordered by; no name of another resource has more than one id."""
        [column] = self._ids
        return SortKey(sortable_text(func.coalesce(column, literal(""))), str, nullable=False)


def full_name(pattern: NamePattern, *ids: Sql) -> Sql:
    """Returns the name that has these ids."""
    name: Sql = literal("", String)
    for number, (collection, value) in enumerate(zip(pattern.collections, ids, strict=True)):
        name = name.concat(literal(f"{'/' if number else ''}{collection}/", String)).concat(value)
    return name
