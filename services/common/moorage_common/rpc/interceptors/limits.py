"""Bounds how many calls a server has in hand, so that it stays quick and refuses clearly."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from moorage_common.core.errors import ErrorReason, ResourceExhausted
from moorage_common.rpc.interceptors.calls import CallInterceptor, Context, Method

RETRY_AFTER_S = 1.0
"""What a refused caller is told to wait, in seconds."""


class ConcurrencyInterceptor(CallInterceptor):
    """Refuses calls beyond a number with RESOURCE_EXHAUSTED and a delay to retry after.

    Streams are counted apart: many sleep for hours, and must not take the places of short calls.
    """

    def __init__(self, *, max_unary_calls: int, max_streams: int) -> None:
        """Takes the most calls of each kind that may run at once."""
        self._limits = {False: max_unary_calls, True: max_streams}
        self._running = {False: 0, True: 0}

    @asynccontextmanager
    async def around(self, method: Method, context: Context) -> AsyncIterator[None]:  # noqa: ARG002
        """Holds a place for the call, or refuses it."""
        kind = method.streaming
        if self._running[kind] >= self._limits[kind]:
            what = "streams" if kind else "calls"
            raise ResourceExhausted(
                f"the server has as many {what} as it takes ({self._limits[kind]})",
                reason=ErrorReason.SERVER_BUSY,
                retry_after_s=RETRY_AFTER_S,
            )
        self._running[kind] += 1
        try:
            yield
        finally:
            self._running[kind] -= 1
