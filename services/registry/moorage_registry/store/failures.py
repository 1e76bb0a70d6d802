"""The one place that turns what PostgreSQL says into errors of the mesh."""

import os

import asyncpg
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from moorage_common.core.errors import (
    ErrorReason,
    FailedPrecondition,
    InvalidArgument,
    MoorageError,
    ResourceExhausted,
    Unavailable,
)
from moorage_registry.core.exclusivity import RULE
from moorage_registry.store.schema import EXCLUSIVE_KEY

_RETRYABLE = frozenset({"40001", "40P01", "23505"})
"""Serialization failure, deadlock, and a row that another transaction inserted a moment ago: run again, the
same transaction sees that row, and answers with what it makes of it."""

_AWAY = (OSError, PoolTimeoutError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""Raised where no connection is to be had, or where it broke. The last is asyncpg's own confusion when the server dies
in the middle of something."""

DATABASE_ERRORS = (SQLAlchemyError, asyncpg.PostgresError, *_AWAY)
"""Everything that using the database raises."""

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
    if isinstance(error, _AWAY):
        return True
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    if sqlstate(error)[:2] in _CONNECTION_CLASSES:
        return True
    return isinstance(error, InterfaceError | OperationalError)


def cause(error: MoorageError) -> str:
    """Returns in one line what was behind an error of the database, for logs.

    No password is in it: what cannot be read as a URL was refused as a setting, and nobody else repeats one.
    """
    return said_in_one_line(error.__cause__ or error)


def said_in_one_line(error: BaseException) -> str:
    """Returns what the database or the system said, without what libraries put around it."""
    # SQLAlchemy's error is around its own idea of asyncpg's, and that around what asyncpg raised.
    wrapped = getattr(error, "orig", error)
    behind = wrapped.__cause__ or wrapped
    if isinstance(behind, OSError):
        return _system_said(behind)
    # As a text, SQLAlchemy's own errors have links to its documentation.
    said = behind.args[0] if isinstance(behind, SQLAlchemyError) else behind
    return " ".join(str(said).split())


def _system_said(error: OSError) -> str:
    if isinstance(error, TimeoutError) and not error.args:
        return "no answer in time"
    said = str(error.strerror or error)
    # asyncio says where it could not connect, but why by a number. Those of the resolver are below 0.
    known = os.strerror(error.errno) if error.errno and error.errno > 0 else ""
    return said if known in said else f"{known}: {said}"


def contention() -> Unavailable:
    """The error of a transaction that lost every race."""
    return Unavailable("the transaction met too much contention", remedy="Retry.", retry_after_s=0.2)


def translate(error: BaseException) -> MoorageError | None:
    """Returns the error of the mesh that a database error stands for, or None if it is a defect of ours."""
    if is_disconnect(error):
        return Unavailable(
            "the registry cannot reach its database",
            reason=ErrorReason.DATABASE_UNAVAILABLE,
            remedy="Retry; the registry reconnects by itself.",
            retry_after_s=1.0,
        )
    if sqlstate(error) == "23505" and EXCLUSIVE_KEY in str(error):
        return FailedPrecondition(
            f"{RULE}, and one of these was given another just now",
            reason=ErrorReason.DISTRIBUTED_VLLM_EXCLUSIVE,
            remedy="Place it again.",
        )
    if is_retryable(error):
        return contention()
    return _refusal(error)


def _refusal(error: BaseException) -> MoorageError | None:
    """Returns what a statement or a connection was refused for, if somebody else than we can mend it."""
    match sqlstate(error):
        case "22021" | "22P05":
            return InvalidArgument("a text of the request has the character NUL, which cannot be stored")
        case "23514" if "claimed_within_capacity" in str(error):
            return ResourceExhausted(
                "a memory pool has less unclaimed memory than is needed",
                reason=ErrorReason.INSUFFICIENT_MEMORY,
            )
        case "42P01":
            return Unavailable(
                "the registry is still preparing its database",
                reason=ErrorReason.DATABASE_UNAVAILABLE,
                retry_after_s=1.0,
            )
        case "28000" | "28P01" | "3D000":
            return FailedPrecondition(
                f"the database refuses the registry: {said_in_one_line(error)}",
                reason=ErrorReason.DATABASE_UNAVAILABLE,
                remedy="Check database_url and migration_database_url: role, password, database.",
            )
    return None
