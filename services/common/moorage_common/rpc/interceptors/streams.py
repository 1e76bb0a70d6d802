"""The outermost interceptor: runs each streaming call in a task of its own.

It is needed for two things that gRPC does not do:

- When a client leaves while a response is being written, gRPC abandons the handler's generator to the
  garbage collector, which closes it later and in another context. Here it is closed at once, in the
  task that it ran in, so that ``finally`` and context variables in handlers work as one expects.
- When the server drains, streams end at once, with the status that tells clients to come back
  elsewhere. gRPC would wait for them all through the grace period and then cut them.
"""

import asyncio
import inspect
from contextlib import aclosing
from typing import Any

import grpc

from moorage_common.core.errors import ErrorReason, Unavailable
from moorage_common.rpc.interceptors.calls import (
    Behavior,
    Context,
    Continuation,
    MaybeHandler,
    behavior_of,
    with_behavior,
)
from moorage_common.rpc.wire import call_details


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
        writing = asyncio.create_task(_write_all(behavior, request, context))
        draining = asyncio.create_task(self._draining.wait())
        try:
            await asyncio.wait({writing, draining}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            # Also on the way out of a cancelled call: the handler has ended before this does.
            writing.cancel()
            draining.cancel()
            await asyncio.wait({writing, draining})
        if writing.cancelled():
            await _send_away(context)
        writing.result()


async def _write_all(behavior: Behavior, request: Any, context: Context) -> None:  # noqa: ANN401
    responses = behavior(request, context)
    if inspect.isawaitable(responses):
        # gRPC's own health service writes by itself.
        await responses
        return
    async with aclosing(responses):
        async for response in responses:
            await context.write(response)


async def _send_away(context: Context) -> None:
    message, metadata = call_details(
        Unavailable(
            "the server is going away",
            reason=ErrorReason.SERVER_DRAINING,
            remedy="Call again, from where the stream broke off.",
        )
    )
    await context.abort(grpc.StatusCode.UNAVAILABLE, message, metadata)
