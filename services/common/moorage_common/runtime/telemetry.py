"""Spans: where the time of a request went, across services.

Spans are always made, so that logs carry trace ids and calls carry the W3C ``traceparent`` on; they
leave the process only if an exporter is chosen.
"""

import sys
from types import TracebackType
from typing import Literal, Self

from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SimpleSpanProcessor
from opentelemetry.trace import Tracer

from moorage_common.core.errors import FailedPrecondition

TraceExporter = Literal["none", "console", "otlp"]


class Telemetry:
    """The spans of one process (or, in tests, of one of several services in it).

    Nothing global is set: servers and channels are given this object. As a context manager it sends
    what is still buffered when it ends.
    """

    def __init__(self, *, service: str, traces: TraceExporter = "none", otlp_endpoint: str = "") -> None:
        """Starts to make spans.

        Args:
            service: The name of the service on its spans.
            traces: Where finished spans go.
            otlp_endpoint: URL of a collector's traces endpoint, for ``otlp``; if empty, what
                OpenTelemetry's own environment variables say.

        Raises:
            FailedPrecondition: The exporter's package is not installed.
        """
        self.tracer_provider = TracerProvider(resource=Resource.create({SERVICE_NAME: service}))
        if traces == "console":
            self.export_to(SimpleSpanProcessor(ConsoleSpanExporter(out=sys.stderr)))
        elif traces == "otlp":
            self.export_to(_otlp(otlp_endpoint))

    def export_to(self, processor: SpanProcessor) -> None:
        """Hands every span that ends from now on to one more processor."""
        self.tracer_provider.add_span_processor(processor)

    def tracer(self, name: str) -> Tracer:
        """Returns a tracer for spans of one's own. Call it with ``__name__``."""
        return self.tracer_provider.get_tracer(name)

    def shutdown(self) -> None:
        """Sends what is still buffered and makes no more spans."""
        self.tracer_provider.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown()


def _otlp(endpoint: str) -> SpanProcessor:
    try:
        # Only who exports spans needs the package.
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
    except ImportError as error:
        raise FailedPrecondition(
            "traces cannot be sent by OTLP: the exporter is not installed",
            remedy="Install the extra moorage[otlp], or set traces to none.",
        ) from error
    return BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint or None))
