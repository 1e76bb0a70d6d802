"""The one place that turns what PostgreSQL says into errors of the mesh."""

import asyncio

import asyncpg
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from moorage_common.core.errors import (
    ErrorReason,
    InvalidArgument,
    MoorageError,
    ResourceExhausted,
    Unavailable,
)

_RETRYABLE = frozenset({"40001", "40P01", "23505"})
"""Serialization failure, deadlock, and a row that another transaction inserted a moment ago: run again, the
same transaction sees that row, and answers with what it makes of it."""

_CONNECTION_CLASSES = frozenset({"08", "57", "53"})
"""SQLSTATE classes of a server that is away, shutting down or out of connections."""


def sqlstate(error: BaseException) -> str:
    """Returns the five-character SQLSTATE of a database error, or an empty string."""
    original = getattr(error, "orig", error)
    return str(getattr(original, "sqlstate", "") or "")


def is_retryable(error: BaseException) -> bool:
    """Tells whether the same transaction may succeed when it is run again."""
    return sqlstate(error) in _RETRYABLE


def is_disconnect(error: BaseException) -> bool:
    """Tells whether the database is away rather than unhappy with a statement."""
    if isinstance(error, OSError | asyncio.TimeoutError | PoolTimeoutError | asyncpg.InterfaceError):
        return True
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    if sqlstate(error)[:2] in _CONNECTION_CLASSES:
        return True
    return isinstance(error, InterfaceError | OperationalError)


def translate(error: BaseException) -> MoorageError | None:
    """Returns the error of the mesh that a database error stands for, or None if it is a defect of ours."""
    if is_disconnect(error):
        return Unavailable(
            "the registry cannot reach its database",
            reason=ErrorReason.DATABASE_UNAVAILABLE,
            remedy="Retry; the registry reconnects by itself.",
            retry_after_s=1.0,
        )
    if is_retryable(error):
        return Unavailable("the transaction met too much contention", retry_after_s=0.2)
    match sqlstate(error):
        case "22021" | "22P05":
            return InvalidArgument("a text of the request has the character NUL, which cannot be stored")
        case "42P01":
            return Unavailable(
                "the registry is still preparing its database",
                reason=ErrorReason.DATABASE_UNAVAILABLE,
                retry_after_s=1.0,
            )
        case "23514" if "claimed_within_capacity" in str(error):
            return ResourceExhausted(
                "a memory pool has less unclaimed memory than is needed",
                reason=ErrorReason.INSUFFICIENT_MEMORY,
            )
        case _:
            return None
