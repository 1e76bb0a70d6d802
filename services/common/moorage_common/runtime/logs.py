"""Structured logs: one event with its facts per line, on standard error.

Code logs an event in plain words and its facts as keywords::

    log = get_logger(__name__)
    log.info("worker registered", worker="workers/gpu-07", lease_ttl_s=15)

What `bind` puts into the context of a call or a task (request id, rpc, task) is on every line that it
logs, and so is the trace id of the current span. Libraries that log by the standard library come out
in the same shape.
"""

import logging
import sys
from typing import Literal, TextIO

import structlog
from opentelemetry import trace
from structlog.typing import EventDict, Processor, WrappedLogger

LogLevel = Literal["debug", "info", "warning", "error"]
LogStyle = Literal["console", "json"]
Logger = structlog.stdlib.BoundLogger

bind = structlog.contextvars.bound_contextvars
"""Context manager: puts facts on every line logged inside it, in this task and those it starts."""


def get_logger(name: str) -> Logger:
    """Returns the logger of a module. Call it with ``__name__``, once, at the module's top."""
    return structlog.stdlib.get_logger(name)


def configure_logs(
    *, level: LogLevel = "info", style: LogStyle = "console", stream: TextIO | None = None
) -> None:
    """Sends everything that is logged in this process to one stream, in one style.

    Args:
        level: The least severe level that is shown.
        style: ``console`` for people, ``json`` for log collectors.
        stream: Where to; standard error if not given.
    """
    stream = stream or sys.stderr
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*_facts(), structlog.stdlib.ExtraAdder()],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_renderers(style, colors=stream.isatty()),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_facts(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def _facts() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _add_trace_id,
    ]


def _renderers(style: LogStyle, *, colors: bool) -> list[Processor]:
    if style == "json":
        return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    return [structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=structlog.dev.plain_traceback)]


def _add_trace_id(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    span = trace.get_current_span().get_span_context()
    if span.is_valid:
        event["trace_id"] = trace.format_trace_id(span.trace_id)
    return event
