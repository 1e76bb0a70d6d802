"""Gives each call its request id, and logs one line when it ends."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc

from moorage_common.core.clock import Clock
from moorage_common.core.ids import new_uid
from moorage_common.rpc.context import ACTOR_KEY, REQUEST_ID_KEY, Caller, set_caller, set_request_id
from moorage_common.rpc.interceptors.calls import CallInterceptor, Context, Method
from moorage_common.runtime.logs import bind, get_logger

log = get_logger(__name__)

_MAX_VALUE = 128
_CANNOT_TRAVEL = re.compile("[^ -~]")
"""What gRPC does not send, though it receives it: whatever is not printable ASCII."""


class AccessInterceptor(CallInterceptor):
    """Binds ``request_id`` and ``rpc`` to everything that a call logs, and logs the call itself."""

    def __init__(self, clock: Clock) -> None:
        """Takes the clock that measures calls."""
        self._clock = clock

    @asynccontextmanager
    async def around(self, method: Method, context: Context) -> AsyncIterator[None]:
        """Logs code and duration of the call when it has ended, however it ended."""
        said = _metadata(context)
        request_id = said.get(REQUEST_ID_KEY) or new_uid()
        set_request_id(request_id)
        started = self._clock.monotonic()
        # Not known any more once the peer has left.
        peer = context.peer()
        set_caller(
            Caller(
                method=method.path.removeprefix("/"),
                actor=said.get(ACTOR_KEY, ""),
                peer=peer,
                user_agent=said.get("user-agent", ""),
            )
        )
        code = grpc.StatusCode.UNKNOWN
        with bind(request_id=request_id, rpc=method.path):
            try:
                yield
                code = grpc.StatusCode.OK
            except (asyncio.CancelledError, GeneratorExit):
                code = grpc.StatusCode.CANCELLED
                raise
            except grpc.aio.AbortError:
                code = context.code()
                raise
            finally:
                duration_ms = round((self._clock.monotonic() - started) * 1000, 1)
                log.info("call ended", code=code.name, duration_ms=duration_ms, peer=peer)


def _metadata(context: Context) -> dict[str, str]:
    """What the caller sent beside the request, as far as it is fit for logs and to be sent on."""
    return {
        key: _CANNOT_TRAVEL.sub("?", value)
        for key, value in context.invocation_metadata() or ()
        if isinstance(value, str) and 0 < len(value) <= _MAX_VALUE
    }
