"""Fields inside columns that hold the JSON form of a proto.

That form leaves out what has its type's empty value: a number that is not there is 0, unless the message that it is a
field of is not there itself.
"""

from enum import StrEnum

from sqlalchemy import BigInteger, DateTime, Double, String, case, cast, func, literal

from moorage_common.core.names import NamePattern
from moorage_registry.core.filters.types import (
    Boolean,
    Enumeration,
    Integer,
    Message,
    Name,
    Number,
    Text,
    Timestamp,
)
from moorage_registry.store.fields.lists import json_members
from moorage_registry.store.fields.stored import Sql, StoredField, StoredMessage, StoredScalar


def json_text(name: str, message: Sql, key: str) -> StoredScalar:
    """A text."""
    return StoredScalar(name, Text(), _text(message, key))


def json_name(name: str, pattern: NamePattern, message: Sql, key: str) -> StoredScalar:
    """The whole name of a resource."""
    return StoredScalar(name, Name(pattern), _text(message, key))


def json_integer(name: str, message: Sql, key: str, *, optional: bool = False) -> StoredScalar:
    """A whole number; absent if its message is, or, for one that is optional in its message, if it is not given."""
    text = message[key].astext
    value = cast(text if optional else func.coalesce(text, literal("0")), BigInteger)
    return StoredScalar(name, Integer(), case((message.is_not(None), value), else_=None), nullable=True)


def json_number(name: str, message: Sql, key: str) -> StoredScalar:
    """A number that need not be whole; absent if its message is."""
    value = cast(func.coalesce(message[key].astext, literal("0")), Double)
    return StoredScalar(name, Number(), case((message.is_not(None), value), else_=None), nullable=True)


def json_timestamp(name: str, message: Sql, key: str) -> StoredScalar:
    """A moment that may be absent."""
    moment = cast(message[key].astext, DateTime(timezone=True))
    return StoredScalar(name, Timestamp(), moment, nullable=True)


def json_boolean(name: str, message: Sql, key: str) -> StoredScalar:
    """True or false; false if it is absent."""
    return StoredScalar(
        name, Boolean(), func.coalesce(message[key].astext, literal("false")) == literal("true")
    )


def json_member(name: str, enum: type[StrEnum], message: Sql, key: str) -> StoredScalar:
    """A member of an enum, absent if it is unspecified."""
    type_ = Enumeration(enum)
    short = func.substr(message[key].astext, len(type_.prefix) + 1, type_=String)
    return StoredScalar(name, type_, short, nullable=True)


def message_field(name: str, message: Sql) -> StoredMessage:
    """A message that may be absent."""
    return StoredMessage(name, Message(), message.is_not(None))


def error_fields(name: str, error: Sql) -> list[StoredField]:
    """An error that may be absent, a google.rpc.Status."""
    return [
        message_field(name, error),
        json_integer(f"{name}.code", error, "code"),
        json_text(f"{name}.message", error, "message"),
        json_members(f"{name}.details.reason", Text(), error["details"], key="reason"),
    ]


def _text(message: Sql, key: str) -> Sql:
    return func.coalesce(message[key].astext, literal(""))
