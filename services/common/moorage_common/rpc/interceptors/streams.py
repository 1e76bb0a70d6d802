"""The outermost interceptor runs each streaming call in a task of its own.

It is needed for two things that gRPC does not do:

- When a client leaves while a response is being written, gRPC abandons the handler's generator to the
  garbage collector, which closes it later and in another context. Here it is closed at once, in the
  task that it ran in, so that ``finally`` and context variables in handlers work as one expects.
  OpenTelemetry's interceptor does not close what it iterates either: `ClosingInterceptor`, right inside
  of it, hands the handler's generator out to here.
- When the server drains, streams end at once, with the status that tells clients to come back
  elsewhere. gRPC would wait for them all through the grace period and then cut them.
"""

import asyncio
import inspect
from collections.abc import Mapping
from contextlib import AsyncExitStack, aclosing
from contextvars import ContextVar
from typing import Any

import grpc

from moorage_common.core.errors import ErrorReason, Unavailable
from moorage_common.rpc.context import keep_resume_point
from moorage_common.rpc.interceptors.calls import (
    Behavior,
    Context,
    Continuation,
    MaybeHandler,
    behavior_of,
    is_infrastructure,
    with_behavior,
)
from moorage_common.rpc.wire import call_details

_to_close: ContextVar[AsyncExitStack] = ContextVar("moorage_to_close")
"""What to close when the streaming call of this task ends."""


class StreamInterceptor(grpc.aio.ServerInterceptor):
    """Runs streaming handlers, and ends them when the server drains."""

    def __init__(self, draining: asyncio.Event) -> None:
        """Takes the event that is set when the server begins to drain."""
        self._draining = draining

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> MaybeHandler:
        """Replaces a generator by a coroutine that runs it and writes what it yields."""
        handler = await continuation(handler_call_details)
        if handler is None or not handler.response_streaming:
            return handler
        behavior = behavior_of(handler)

        async def stream(request: Any, context: Context) -> None:  # noqa: ANN401
            await self._run(behavior, request, context)

        return with_behavior(handler, stream)

    async def _run(self, behavior: Behavior, request: Any, context: Context) -> None:  # noqa: ANN401
        resume = keep_resume_point()
        writing = asyncio.create_task(_write_all(behavior, request, context))
        draining = asyncio.create_task(self._draining.wait())
        try:
            await asyncio.wait({writing, draining}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            # Also on the way out of a cancelled call: the handler has ended before this does.
            writing.cancel()
            draining.cancel()
            await asyncio.wait({writing, draining})
        if writing.cancelled() and self._draining.is_set():
            await _send_away(context, resume)
        writing.result()


class ClosingInterceptor(grpc.aio.ServerInterceptor):
    """Lets the `StreamInterceptor` close the generators inside of this one."""

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> MaybeHandler:
        """Notes the generator of each streaming call."""
        handler = await continuation(handler_call_details)
        if (
            handler is None
            or not handler.response_streaming
            or is_infrastructure(handler_call_details.method)
        ):
            return handler
        behavior = behavior_of(handler)

        def noted(request: Any, context: Context) -> Any:  # noqa: ANN401
            responses = behavior(request, context)
            _to_close.get().push_async_callback(responses.aclose)
            return responses

        return with_behavior(handler, noted)


async def _write_all(behavior: Behavior, request: Any, context: Context) -> None:  # noqa: ANN401
    to_close = AsyncExitStack()
    _to_close.set(to_close)
    responses = behavior(request, context)
    if inspect.isawaitable(responses):
        # gRPC's own health service writes by itself.
        await responses
        return
    # The inner generators are closed first, while the span around them is still open.
    async with aclosing(responses), to_close:
        async for response in responses:
            await context.write(response)


async def _send_away(context: Context, resume: Mapping[str, str]) -> None:
    message, metadata = call_details(
        Unavailable(
            "the server is going away",
            reason=ErrorReason.SERVER_DRAINING,
            remedy="Call again, from where the stream broke off.",
            metadata=resume,
        )
    )
    await context.abort(grpc.StatusCode.UNAVAILABLE, message, metadata)
