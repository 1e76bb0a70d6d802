"""Answers calls of methods that the server does not have."""

from typing import Any

import grpc

from moorage_common.core.errors import Unimplemented
from moorage_common.rpc.interceptors.calls import (
    Context,
    Continuation,
    MaybeHandler,
    is_infrastructure,
)


class UnknownMethodInterceptor(grpc.aio.ServerInterceptor):
    """Gives an unknown method a handler that fails like any other: with a reason and a remedy."""

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> MaybeHandler:
        """Stands in where there is no handler."""
        handler = await continuation(handler_call_details)
        path = handler_call_details.method
        if handler is not None or is_infrastructure(path):
            return handler

        async def unknown(request: Any, context: Context) -> Any:  # noqa: ANN401, ARG001
            raise Unimplemented(
                f"this server has no method {path}",
                remedy="List what it has by reflection, e.g. with grpcurl HOST:PORT list.",
            )

        return grpc.unary_unary_rpc_method_handler(unknown)
