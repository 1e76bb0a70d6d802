"""Requests that were answered before: the same request_id gets the same answer, another request under it is refused."""

from datetime import timedelta

from sqlalchemy import delete, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from moorage_common.core.errors import ErrorReason, InvalidArgument
from moorage_registry.store import schema
from moorage_registry.store.database import Transaction

_TABLE = schema.requests

KEPT = timedelta(hours=24)
"""How long an answer is kept."""


async def earlier_answer(tx: Transaction, method: str, request_id: str, fingerprint: bytes) -> bytes | None:
    """Claims a request_id, or returns what was answered under it. A twin that is under way is waited for.

    Raises:
        InvalidArgument: The request_id was used with another request (REQUEST_ID_REUSED).
    """
    claimed = await tx.execute(
        upsert(_TABLE)
        .values(method=method, request_id=request_id, fingerprint=fingerprint, created_at=tx.now)
        .on_conflict_do_nothing()
        .returning(_TABLE.c.request_id)
    )
    if claimed.first() is not None:
        return None
    statement = select(_TABLE.c.fingerprint, _TABLE.c.response).where(
        _TABLE.c.method == method, _TABLE.c.request_id == request_id
    )
    row = (await tx.execute(statement)).one()
    if row.fingerprint != fingerprint:
        raise InvalidArgument(
            f"request_id {request_id!r} was used before with another request",
            reason=ErrorReason.REQUEST_ID_REUSED,
            remedy="Use a new request_id for a new request.",
        )
    return bytes(row.response)


async def remember(tx: Transaction, method: str, request_id: str, response: bytes) -> None:
    """Keeps the answer of a claimed request_id."""
    await tx.execute(
        update(_TABLE)
        .where(_TABLE.c.method == method, _TABLE.c.request_id == request_id)
        .values(response=response)
    )


async def forget_old(tx: Transaction) -> None:
    """Removes answers that are older than `KEPT`."""
    await tx.execute(delete(_TABLE).where(_TABLE.c.created_at < tx.now - KEPT))
