"""What every change asked for by a client has in common: ``request_id``, ``validate_only``, and its audit record."""

import hashlib
from collections.abc import Awaitable, Callable
from typing import TypeVar

from google.protobuf.message import Message

from moorage_registry.auditing import record_call
from moorage_registry.store import requests
from moorage_registry.store.database import Database, Transaction

Response = TypeVar("Response", bound=Message)


async def mutate(
    database: Database,
    request: Message,
    response_type: type[Response],
    work: Callable[[Transaction], Awaitable[Response]],
) -> Response:
    """Runs a change in a transaction and returns its answer.

    A ``request_id`` that was answered before gets that answer again, and nothing is changed. With ``validate_only``
    everything is checked and done, and then rolled back. That asks what would happen now, before the real call or
    after it: what was answered before is no answer to that. What is changed goes on record with who asked for it.

    Args:
        database: Where to run it.
        request: The request, which may have the fields ``request_id`` and ``validate_only``.
        response_type: Type of the answer.
        work: The change. It may run several times.
    """
    request_id: str = getattr(request, "request_id", "")
    validate_only: bool = getattr(request, "validate_only", False)

    async def audited(tx: Transaction) -> Response:
        response = await work(tx)
        await record_call(tx, request, response)
        return response

    async def answered_once(tx: Transaction) -> Response:
        method = type(request).__name__
        fingerprint = hashlib.sha256(request.SerializeToString(deterministic=True)).digest()
        earlier = await requests.earlier_answer(tx, method, request_id, fingerprint)
        if earlier is not None:
            return response_type.FromString(earlier)
        response = await audited(tx)
        await requests.remember(tx, method, request_id, response.SerializeToString())
        return response

    once = request_id and not validate_only
    return await database.transact(answered_once if once else audited, commit=not validate_only)
