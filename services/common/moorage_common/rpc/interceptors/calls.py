"""What every interceptor needs to stand around a handler of any of the four kinds."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass
from typing import Any, TypeAlias

import grpc

# Handlers of all kinds and messages pass through here: nothing is known of the latter.
# (In quotes: gRPC's classes are generic only in their stubs.)
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Behavior = Callable[[Any, Any], Any]
Context = grpc.aio.ServicerContext[Any, Any]
MaybeHandler: TypeAlias = "Handler | None"
Continuation = Callable[[grpc.HandlerCallDetails], Awaitable[MaybeHandler]]


@dataclass(frozen=True, slots=True)
class Method:
    """The method that is called."""

    path: str
    """E.g. ``/moorage.registry.v1.ModelService/GetModel``."""
    streaming: bool
    """Whether requests or responses are a stream."""


class CallInterceptor(grpc.aio.ServerInterceptor, ABC):
    """An interceptor that stands around each call of the mesh's own services."""

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> MaybeHandler:
        """Puts `around` around the handler that would have been called."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        if is_infrastructure(handler_call_details.method):
            return handler
        method = _method_of(handler_call_details, handler)
        behavior = behavior_of(handler)
        if not handler.response_streaming:

            async def unary(request: Any, context: Context) -> Any:  # noqa: ANN401
                async with self.around(method, context):
                    return await behavior(request, context)

            return with_behavior(handler, unary)

        async def stream(request: Any, context: Context) -> AsyncIterator[Any]:  # noqa: ANN401
            async with self.around(method, context), aclosing(behavior(request, context)) as responses:
                async for response in responses:
                    yield response

        return with_behavior(handler, stream)

    @abstractmethod
    def around(self, method: Method, context: Context) -> AbstractAsyncContextManager[None]:
        """Returns what is entered before the handler runs and left after its last response."""


def is_infrastructure(path: str) -> bool:
    """Whether a method is gRPC's own: health or reflection."""
    return path.startswith("/grpc.")


def behavior_of(handler: Handler) -> Behavior:
    """Returns the function in a handler, whichever of the four it is."""
    behavior = handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
    if behavior is None:
        raise TypeError("a method handler without a function")
    return behavior


def with_behavior(handler: Handler, behavior: Behavior) -> Handler:
    """Returns a handler of the same kind and serialisation around another function."""
    makers = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }
    maker: Callable[..., Handler] = makers[bool(handler.request_streaming), bool(handler.response_streaming)]
    return maker(
        behavior,
        request_deserializer=handler.request_deserializer,
        response_serializer=handler.response_serializer,
    )


def _method_of(details: grpc.HandlerCallDetails, handler: Handler) -> Method:
    return Method(path=details.method, streaming=handler.request_streaming or handler.response_streaming)
