"""A receiver of spans (OTLP over HTTP), and the other service that handlers call, in the test's own process."""

from __future__ import annotations

import dataclasses
import gzip
import http.server
import threading
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Sent


@dataclasses.dataclass(frozen=True, slots=True)
class Span:
    """A span that has come."""

    name: str
    kind: str  #: SERVER, PRODUCER, CONSUMER
    trace: str
    id: str
    parent: str  #: empty for the first of a trace
    links: tuple[str, ...]  #: ids of spans
    attributes: dict[str, Any]
    error: str | None  #: what it says of its failure
    process: int  #: the process that sent it
    service: str

    @property
    def traceparent(self) -> str:
        """Its context, as a header."""
        return f"00-{self.trace}-{self.id}-01"


class Receiver:
    """Both on one port."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.calls: list[str] = []  #: the header ``traceparent`` of each call, as it came
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def start(self) -> Receiver:
        """Listen."""
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def stop(self) -> None:
        """Listen no longer."""
        self._server.shutdown()
        self._server.server_close()

    def named(self, name: str) -> list[Span]:
        """The spans of this name."""
        return [span for span in list(self.spans) if span.name == name]

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                body = gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
                receiver.spans += _read(body)
                self._answer()

            def do_GET(self) -> None:
                receiver.calls.append(self.headers.get("traceparent", ""))
                self._answer()

            def _answer(self) -> None:
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """No lines."""

        return Handler


def _read(body: bytes) -> list[Span]:
    found = []
    for group in ExportTraceServiceRequest.FromString(body).resource_spans:
        facts = _values(group.resource.attributes)
        for span in (span for scope in group.scope_spans for span in scope.spans):
            found.append(
                Span(
                    name=span.name,
                    kind=Sent.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
                    trace=span.trace_id.hex(),
                    id=span.span_id.hex(),
                    parent=span.parent_span_id.hex(),
                    links=tuple(link.span_id.hex() for link in span.links),
                    attributes=_values(span.attributes),
                    error=span.status.message if span.status.code == 2 else None,
                    process=facts["process.pid"],
                    service=facts["service.name"],
                )
            )
    return found


def _values(attributes: Any) -> dict[str, Any]:
    return {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in attributes}
