import io
import json
import logging
from collections.abc import Iterator

import pytest

from moorage_common.runtime.logs import bind, configure_logs, get_logger
from moorage_common.runtime.telemetry import Telemetry


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    stream = io.StringIO()
    yield stream
    root.handlers = handlers
    root.setLevel(level)


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_carries_its_facts_and_those_of_its_context(stream: io.StringIO) -> None:
    configure_logs(style="json", stream=stream)
    with bind(request_id="r1"):
        get_logger("harbour").info("ship arrived", berth=3)
    get_logger("harbour").info("ship left")
    first, second = lines(stream)
    assert first["event"] == "ship arrived"
    assert (first["berth"], first["request_id"], first["level"], first["logger"]) == (
        3,
        "r1",
        "info",
        "harbour",
    )
    assert str(first["timestamp"]).endswith("Z")
    assert "request_id" not in second


def test_libraries_that_log_by_the_standard_library_look_the_same(stream: io.StringIO) -> None:
    configure_logs(style="json", stream=stream)
    with bind(request_id="r2"):
        logging.getLogger("some.library").warning("said %s", "this", extra={"berth": 4})
    (line,) = lines(stream)
    assert (line["event"], line["berth"], line["request_id"], line["level"]) == (
        "said this",
        4,
        "r2",
        "warning",
    )


def test_lines_below_the_level_are_not_written(stream: io.StringIO) -> None:
    configure_logs(level="warning", style="json", stream=stream)
    get_logger("harbour").info("not this")
    get_logger("harbour").warning("but this")
    assert [line["event"] for line in lines(stream)] == ["but this"]


def test_an_exception_is_one_json_line_with_its_traceback(stream: io.StringIO) -> None:
    configure_logs(style="json", stream=stream)
    try:
        raise OSError("leak")
    except OSError as error:
        get_logger("harbour").error("ship sank", exc_info=error)
    (line,) = lines(stream)
    assert "OSError: leak" in str(line["exception"])


def test_lines_inside_a_span_carry_its_trace_id(stream: io.StringIO) -> None:
    configure_logs(style="json", stream=stream)
    with (
        Telemetry(service="harbour") as telemetry,
        telemetry.tracer("test").start_as_current_span("docking") as span,
    ):
        get_logger("harbour").info("inside")
        expected = f"{span.get_span_context().trace_id:032x}"
    (line,) = lines(stream)
    assert line["trace_id"] == expected


def test_the_console_style_is_for_people(stream: io.StringIO) -> None:
    configure_logs(style="console", stream=stream)
    get_logger("harbour").info("ship arrived", berth=3)
    assert "ship arrived" in stream.getvalue()
    assert "berth=3" in stream.getvalue()
