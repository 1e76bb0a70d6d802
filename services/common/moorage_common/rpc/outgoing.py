"""What stands around every call that a client makes.

It fills in what the caller left open (deadline, request id, who calls, waiting for the server), turns what gRPC
raises into the MoorageError that the server's handler raised, and lets cancellation reach the server.
"""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc
from grpc.aio import ClientCallDetails

from moorage_common.core.ids import new_uid
from moorage_common.rpc import context
from moorage_common.rpc.status import from_rpc_error

RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT")


@dataclass(frozen=True, slots=True, kw_only=True)
class CallDefaults:
    """What is filled in where a call does not say."""

    target: str
    """Who is called, for errors that no server sent."""
    default_deadline_s: float
    """Seconds that a unary call may take."""
    wait_for_ready: bool
    """Whether calls wait, up to their deadline, for a server that is not there yet."""
    actor: str = ""
    """Who calls, for the registry's audit records, where no call is being served that says who. Empty: not said."""

    def fill(self, details: ClientCallDetails, *, streaming: bool) -> ClientCallDetails:
        """Returns the details of the call that is really made.

        No call outlives the deadline of the call that it is made for.
        """
        own_s = details.timeout
        if own_s is None and not streaming:
            own_s = self.default_deadline_s
        limits_s = [limit_s for limit_s in (own_s, context.remaining_s()) if limit_s is not None]
        metadata = grpc.aio.Metadata(*(details.metadata or ()))
        if metadata.get(context.REQUEST_ID_KEY) is None:
            metadata.add(context.REQUEST_ID_KEY, context.request_id() or new_uid())
        actor = context.caller().actor or self.actor
        if actor and metadata.get(context.ACTOR_KEY) is None:
            metadata.add(context.ACTOR_KEY, actor)
        return ClientCallDetails(
            method=details.method,
            timeout=min(limits_s, default=None),
            metadata=metadata,
            credentials=details.credentials,
            wait_for_ready=self.wait_for_ready if details.wait_for_ready is None else details.wait_for_ready,
        )


def outgoing_interceptors(
    defaults: CallDefaults, spans: Sequence[grpc.aio.ClientInterceptor]
) -> Sequence[grpc.aio.ClientInterceptor]:
    """Returns the interceptors of a channel, outermost first.

    Args:
        defaults: What is filled in where a call does not say.
        spans: OpenTelemetry's interceptors. They see what really goes out, and gRPC's own errors.
    """
    return [_UnaryUnary(defaults), _UnaryStream(defaults), _StreamStream(defaults), *spans, _Cancellation()]


# gRPC sorts interceptors by class, one kind of call each: hence three.


class _UnaryUnary(grpc.aio.UnaryUnaryClientInterceptor):
    def __init__(self, defaults: CallDefaults) -> None:
        self._defaults = defaults

    async def intercept_unary_unary(
        self,
        continuation: Callable[
            [ClientCallDetails, RequestT], Awaitable[grpc.aio.UnaryUnaryCall[RequestT, ResponseT]]
        ],
        client_call_details: ClientCallDetails,
        request: RequestT,
    ) -> ResponseT:
        details = self._defaults.fill(client_call_details, streaming=False)
        try:
            return await (await continuation(details, request))
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error, target=self._defaults.target) from error


class _UnaryStream(grpc.aio.UnaryStreamClientInterceptor):
    def __init__(self, defaults: CallDefaults) -> None:
        self._defaults = defaults

    async def intercept_unary_stream(
        self,
        continuation: Callable[
            [ClientCallDetails, RequestT], Awaitable[grpc.aio.UnaryStreamCall[RequestT, ResponseT]]
        ],
        client_call_details: ClientCallDetails,
        request: RequestT,
    ) -> AsyncIterator[ResponseT]:
        details = self._defaults.fill(client_call_details, streaming=True)
        return _responses(await continuation(details, request), self._defaults.target)


class _StreamStream(grpc.aio.StreamStreamClientInterceptor):
    def __init__(self, defaults: CallDefaults) -> None:
        self._defaults = defaults

    async def intercept_stream_stream(
        self,
        continuation: Callable[
            [ClientCallDetails, AsyncIterable[RequestT] | Iterable[RequestT]],
            Awaitable[grpc.aio.StreamStreamCall[RequestT, ResponseT]],
        ],
        client_call_details: ClientCallDetails,
        request_iterator: AsyncIterable[RequestT] | Iterable[RequestT],
    ) -> AsyncIterator[ResponseT]:
        details = self._defaults.fill(client_call_details, streaming=True)
        return _responses(await continuation(details, request_iterator), self._defaults.target)


async def _responses(
    call: grpc.aio.UnaryStreamCall[Any, ResponseT] | grpc.aio.StreamStreamCall[Any, ResponseT], target: str
) -> AsyncIterator[ResponseT]:
    try:
        async for response in call:
            yield response
    except grpc.aio.AioRpcError as error:
        raise from_rpc_error(error, target=target) from error


class _Cancellation(grpc.aio.UnaryUnaryClientInterceptor):
    """Cancels the call itself when the task that awaits it is cancelled.

    gRPC does so by itself, but not under OpenTelemetry's interceptor, which awaits the call's code instead
    of its response: the server would go on until the deadline. Streams are cancelled by their readers.
    """

    async def intercept_unary_unary(
        self,
        continuation: Callable[
            [ClientCallDetails, RequestT], Awaitable[grpc.aio.UnaryUnaryCall[RequestT, ResponseT]]
        ],
        client_call_details: ClientCallDetails,
        request: RequestT,
    ) -> grpc.aio.UnaryUnaryCall[RequestT, ResponseT]:
        call = await continuation(client_call_details, request)
        try:
            await call.code()
        except asyncio.CancelledError:
            call.cancel()
            raise
        return call
