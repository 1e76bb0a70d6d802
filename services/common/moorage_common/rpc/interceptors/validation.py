"""Lets only valid requests through to handlers."""

from collections.abc import AsyncIterable, AsyncIterator
from typing import Any

import grpc
from google.protobuf.message import Message

from moorage_common.rpc.interceptors.calls import (
    Context,
    Continuation,
    MaybeHandler,
    behavior_of,
    is_infrastructure,
    with_behavior,
)
from moorage_common.rpc.validation import validate


class ValidationInterceptor(grpc.aio.ServerInterceptor):
    """Checks every request, and every message of a stream of requests, against the rules in its proto."""

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> MaybeHandler:
        """Puts the check in front of the handler."""
        handler = await continuation(handler_call_details)
        if handler is None or is_infrastructure(handler_call_details.method):
            return handler
        behavior = behavior_of(handler)
        check = _valid_stream if handler.request_streaming else _valid

        # Not a coroutine itself: it returns whatever the handler does, a coroutine or a generator.
        def checked(request: Any, context: Context) -> Any:  # noqa: ANN401
            return behavior(check(request), context)

        return with_behavior(handler, checked)


def _valid(request: Message) -> Message:
    validate(request)
    return request


async def _valid_stream(requests: AsyncIterable[Message]) -> AsyncIterator[Message]:
    async for request in requests:
        yield _valid(request)
