"""The order in which interceptors stand around a handler."""

import asyncio
from collections.abc import Sequence

import grpc
from opentelemetry.instrumentation.grpc import aio_server_interceptor, filters

from moorage_common.core.clock import Clock
from moorage_common.rpc.interceptors.access import AccessInterceptor
from moorage_common.rpc.interceptors.deadline import DeadlineInterceptor
from moorage_common.rpc.interceptors.errors import ErrorInterceptor
from moorage_common.rpc.interceptors.limits import ConcurrencyInterceptor
from moorage_common.rpc.interceptors.streams import ClosingInterceptor, StreamInterceptor
from moorage_common.rpc.interceptors.unknown import UnknownMethodInterceptor
from moorage_common.rpc.interceptors.validation import ValidationInterceptor
from moorage_common.runtime.telemetry import Telemetry


def server_interceptors(
    *,
    telemetry: Telemetry,
    clock: Clock,
    draining: asyncio.Event,
    max_unary_calls: int,
    max_streams: int,
    default_deadline_s: float,
) -> Sequence[grpc.aio.ServerInterceptor]:
    """Returns the interceptors of a server, outermost first.

    Args:
        telemetry: Makes the spans.
        clock: Measures calls.
        draining: Set when the server begins to drain.
        max_unary_calls: The most unary calls at once.
        max_streams: The most streams at once.
        default_deadline_s: Deadline of unary calls that come without one, in seconds.
    """
    return [
        # Runs generators, so all that follow may be generators, and ends them in their own context.
        StreamInterceptor(draining),
        # The span first, so that everything below logs and calls under it.
        aio_server_interceptor(  # type: ignore[no-untyped-call]
            tracer_provider=telemetry.tracer_provider,
            filter_=filters.negate(filters.service_prefix("grpc.")),
        ),
        ClosingInterceptor(),
        # Sees the final code, so it stands outside of what decides it.
        AccessInterceptor(clock),
        # Everything below may raise a MoorageError.
        ErrorInterceptor(),
        UnknownMethodInterceptor(),
        # Before any work is done for the call.
        ConcurrencyInterceptor(max_unary_calls=max_unary_calls, max_streams=max_streams),
        DeadlineInterceptor(default_deadline_s),
        # Last: what is checked here is what the handler gets.
        ValidationInterceptor(),
    ]
