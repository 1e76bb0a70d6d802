"""Fields that are columns of their own."""

from enum import StrEnum

from sqlalchemy import String, Table, func, literal, type_coerce

from moorage_registry.core.filters.types import Boolean, Enumeration, Integer, Map, Text, Timestamp
from moorage_registry.store.fields.stored import Sql, StoredField, StoredMap, StoredScalar


def record_fields(table: Table) -> list[StoredField]:
    """What every resource has."""
    return [
        text("uid", table.c.uid),
        integer("version", table.c.version),
        timestamp("create_time", table.c.created_at),
        timestamp("update_time", table.c.updated_at),
    ]


def text(name: str, column: Sql, *, nullable: bool = False) -> StoredScalar:
    """A text. NULL is the empty one, as in the protos."""
    return StoredScalar(name, Text(), func.coalesce(column, literal("")) if nullable else column)


def integer(name: str, column: Sql) -> StoredScalar:
    """A whole number."""
    return StoredScalar(name, Integer(), column)


def boolean(name: str, column: Sql) -> StoredScalar:
    """True or false."""
    return StoredScalar(name, Boolean(), column)


def timestamp(name: str, column: Sql, *, nullable: bool = False) -> StoredScalar:
    """A moment. NULL is absent."""
    return StoredScalar(name, Timestamp(), column, nullable=nullable)


def member(name: str, enum: type[StrEnum], column: Sql, *, nullable: bool = False) -> StoredScalar:
    """A member of an enum. NULL is absent."""
    return StoredScalar(name, Enumeration(enum), type_coerce(column, String), nullable=nullable)


def labels(name: str, column: Sql) -> StoredMap:
    """Texts by keys."""
    return StoredMap(name, Map(), column)
