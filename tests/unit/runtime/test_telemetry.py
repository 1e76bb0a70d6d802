import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from moorage_common.core.errors import FailedPrecondition
from moorage_common.runtime.telemetry import Telemetry


class Collector(HTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), CollectorHandler)
        self.received: list[ExportTraceServiceRequest] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1/traces"


class CollectorHandler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.received.append(ExportTraceServiceRequest.FromString(body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_spans_reach_a_collector_with_the_services_name(collector: Collector) -> None:
    with Telemetry(service="moorage-harbour", traces="otlp", otlp_endpoint=collector.url) as telemetry:
        telemetry.tracer("test").start_span("docking").end()
    (request,) = collector.received
    (resource_spans,) = request.resource_spans
    assert [span.name for span in resource_spans.scope_spans[0].spans] == ["docking"]
    names = {item.key: item.value.string_value for item in resource_spans.resource.attributes}
    assert names["service.name"] == "moorage-harbour"


def test_spans_can_go_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    with Telemetry(service="harbour", traces="console") as telemetry:
        telemetry.tracer("test").start_span("docking").end()
    assert '"name": "docking"' in capsys.readouterr().err


def test_a_missing_exporter_is_said_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(FailedPrecondition) as raised:
        Telemetry(service="harbour", traces="otlp")
    assert "moorage[otlp]" in raised.value.remedy
