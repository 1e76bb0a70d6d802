"""Turns what handlers raise into the status of the call."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc

from moorage_common.core.errors import Internal, MoorageError, Unimplemented
from moorage_common.rpc import context as call_context
from moorage_common.rpc.interceptors.calls import CallInterceptor, Context, Method
from moorage_common.rpc.status import code_of
from moorage_common.rpc.wire import call_details
from moorage_common.runtime.logs import get_logger

log = get_logger(__name__)


class ErrorInterceptor(CallInterceptor):
    """Ends a call with the status of the MoorageError that its handler raised.

    Anything else that a handler raises is a defect: the caller gets INTERNAL and the request id, the
    log gets the traceback. Cancellation passes: there is nobody left to tell.
    """

    @asynccontextmanager
    async def around(self, method: Method, context: Context) -> AsyncIterator[None]:
        """Ends the call with a status if the handler raises."""
        try:
            yield
        except MoorageError as error:
            await _abort(context, error)
        except grpc.aio.AbortError:
            raise
        except NotImplementedError:
            # What generated servicers raise for methods that are not overridden.
            await _abort(context, Unimplemented(f"{method.path} is not served here"))
        except Exception:
            log.exception("handler failed")
            await _abort(context, _defect())


async def _abort(context: Context, error: MoorageError) -> None:
    if context.cancelled():
        # The caller has left: nobody can be told, and gRPC fails if one tries.
        raise asyncio.CancelledError from error
    message, metadata = call_details(error)
    # abort, not abort_with_status: OpenTelemetry sees only the former.
    await context.abort(code_of(error), message, metadata)


def _defect() -> Internal:
    request_id = call_context.request_id()
    return Internal(
        f"internal error; the server's log has it under request {request_id}",
        metadata={"request_id": request_id},
    )
