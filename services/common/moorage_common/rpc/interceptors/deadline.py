"""Makes every unary call end, and lets its handler know how long it has."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from moorage_common.core.errors import DeadlineExceeded
from moorage_common.rpc.context import set_remaining_s
from moorage_common.rpc.interceptors.calls import CallInterceptor, Context, Method


class DeadlineInterceptor(CallInterceptor):
    """Gives unary calls that come without a deadline a default one. Streams may last for ever.

    The caller's own deadline is enforced by gRPC, which cancels the handler.
    """

    def __init__(self, default_s: float) -> None:
        """Takes the default deadline, in seconds."""
        self._default_s = default_s

    @asynccontextmanager
    async def around(self, method: Method, context: Context) -> AsyncIterator[None]:
        """Publishes the time that remains, and cancels the handler when the default is over."""
        # Typed as never None, but it is where the caller set no deadline.
        given_s: float | None = context.time_remaining()
        set_remaining_s(given_s)
        if given_s is not None or method.streaming:
            yield
            return
        set_remaining_s(self._default_s)
        try:
            async with asyncio.timeout(self._default_s) as limit:
                yield
        except TimeoutError:
            # One of the handler's own is a defect, and not for us to reword.
            if not limit.expired():
                raise
            raise DeadlineExceeded(f"the call took longer than {self._default_s:g} s") from None
