"""Traces: spans of OpenTelemetry, from a request to the run of a handler. An extra: ``pip install 'millrace[otel]'``.

Without ``MILLRACE_OTLP_URL`` nothing here is imported or listens, and the header ``traceparent`` is handed on as it
came. With it, this module listens to signals, as metrics do, and answers some with the context that goes on from here:

    POST /v1/events/<type>   SERVER     the request; its parent is the client's span
    └─ create <type>         PRODUCER   an event; its context is stored with the event
       └─ process <type>     CONSUMER   a run of the handler, in the worker's child; one for each attempt

Names and attributes are those of OpenTelemetry's semantic conventions for messaging and HTTP. To be installed in the
process that does the work, after any fork: the thread that exports does not survive one.
"""

from __future__ import annotations

import functools
import logging
import os
import threading
from typing import Any

import service
from service.domain import errors, topology
from service.domain.outcome import Answer
from service.settings import Settings
from service.telemetry import conventions, listening, masking

log = logging.getLogger("millrace.traces")

HEADER = "traceparent"
REQUESTS = 10_000  #: open at once; of more, the oldest are given up
FLUSH = 2.0  #: seconds that the end of a process waits for its last spans
EXPORT = 5.0  #: seconds for one export; what waits meanwhile is bounded, and then dropped


class Tracing(listening.Listener):
    """The spans of one process."""

    def __init__(self, settings: Settings, role: str) -> None:
        from opentelemetry import context, trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        super().__init__(log, "Something could not be traced", "traces.failed")
        self._trace, self._context = trace, context
        self._mask = masking.of(settings)
        facts = {"service.namespace": "millrace", "service.name": f"millrace-{role}"}
        resource = Resource.create({**facts, "service.version": service.__version__, "process.pid": self.pid})
        exporter = OTLPSpanExporter(endpoint=f"{settings.otlp_url.rstrip('/')}/v1/traces", timeout=EXPORT)
        self._provider = TracerProvider(resource=resource)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
            trace.set_tracer_provider(self._provider)  # For the instruments that handlers bring along.
        self._tracer = self._provider.get_tracer("millrace", service.__version__)
        self._requests: dict[str, Any] = {}  #: the spans of those that are open, by the context that goes on from them
        #: The span of the run that each thread is at.
        self._open = threading.local()

    def close(self) -> None:
        """Stop listening, and send what was not sent yet, if its receiver takes it soon."""
        super().close()
        if os.getpid() == self.pid:
            self._provider.force_flush(int(FLUSH * 1000))

    # --- the door -----------------------------------------------------------------------------------------------

    def on_request_begun(self, *, method: str, traceparent: str | None) -> str | None:
        """A request has come. Only those that may bring events are worth a span."""
        if method != "POST":
            return None
        span = self._tracer.start_span(method, self._read(traceparent), self._trace.SpanKind.SERVER)
        own = self._written(self._trace.set_span_in_context(span))
        while len(self._requests) >= REQUESTS:  # Those whose client has gone.
            self._requests.pop(next(iter(self._requests))).end()
        self._requests[own] = span
        return own

    def on_request_finished(
        self, *, method: str, route: str, code: int, seconds: float, traceparent: str | None = None
    ) -> None:
        """Its answer is known, perhaps in another thread: the event loop and Flask's threads share the work."""
        span = self._requests.pop(traceparent, None) if traceparent else None
        if span is not None:
            span.update_name(f"{method} {route}")
            span.set_attributes({"http.request.method": method, "http.route": route, "http.response.status_code": code})
            if code >= 500:
                span.set_status(self._trace.StatusCode.ERROR)
            span.end()

    def on_event_created(self, *, type: str, traceparent: str | None) -> str | None:
        """An event was read from a request. What it carries is the context of this span from now on."""
        attributes = {**conventions.destination(topology.EVENTS, f"event.{type}"), **conventions.operation("create")}
        parent = self._read(traceparent)
        span = self._tracer.start_span(f"create {type}", parent, self._trace.SpanKind.PRODUCER, attributes)
        span.end()
        return self._written(self._trace.set_span_in_context(span))

    # --- the hands ----------------------------------------------------------------------------------------------

    def on_run_begun(self, *, events: Any, queue: str) -> str | None:
        """A handler is called. One event is its run's parent; those of a bulk handler are linked."""
        self._end()
        first = events[0]
        attributes: dict[str, Any] = {
            **conventions.destination(queue), **conventions.operation("process"),
            "messaging.message.id": first.id, "millrace.type": first.type, "millrace.attempt": first.attempt,
        }  # fmt: skip
        kind, name = self._trace.SpanKind.CONSUMER, f"process {first.type}"
        if len(events) == 1:
            return self._begin(name, kind, first.traceparent, attributes)
        del attributes["messaging.message.id"]
        contexts = [self._trace.get_current_span(self._read(e.traceparent)) for e in events if e.traceparent]
        links = [self._trace.Link(span.get_span_context()) for span in contexts]
        return self._begin(name, kind, None, {**attributes, "messaging.batch.message_count": len(events)}, links)

    def on_run_ended(self, *, answer: Any, error: BaseException | None) -> None:
        """It has returned, or raised."""
        span = self._current()
        if span is not None:
            said = error if isinstance(error, Answer) else answer
            if isinstance(said, Answer):
                span.set_attribute("millrace.answer", type(said).__name__.lower())
            elif error is not None:
                span.set_attribute("error.type", type(error).__qualname__)
                span.set_status(self._trace.StatusCode.ERROR, self._mask.text(conventions.line(error)))
        self._end()

    # --- one span -----------------------------------------------------------------------------------------------

    def _begin(self, name: str, kind: Any, parent: str | None, attributes: dict[str, Any], links: Any = None) -> str:
        """Open a span, current in this thread, so that what the user's own instruments open is below it."""
        span = self._tracer.start_span(name, self._read(parent), kind, attributes, links)
        within = self._trace.set_span_in_context(span)
        self._open.span, self._open.token = span, self._context.attach(within)
        return self._written(within)

    def _current(self) -> Any:
        return getattr(self._open, "span", None)

    def _end(self) -> None:
        """Close what is open in this thread; also what a time limit has cut off from its end."""
        if (span := self._current()) is not None:
            self._open.span = None
            self._context.detach(self._open.token)
            span.end()

    def _read(self, traceparent: str | None) -> Any:
        """The context in a header; an empty one, and so a new trace, without."""
        carrier = {HEADER: traceparent} if traceparent else {}
        return _propagator().extract(carrier, context=self._context.Context())

    def _written(self, within: Any) -> str:
        carrier: dict[str, str] = {}
        _propagator().inject(carrier, context=within)
        return carrier[HEADER]


@functools.cache
def _propagator() -> Any:
    """Reads and writes the header."""
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator()


_installed: Tracing | None = None
_lock = threading.Lock()


def install(settings: Settings, role: str) -> Tracing | None:
    """Trace what this process does, if the settings say where to; once per process.

    Raises SettingsError when they do and the extra is not installed.
    """
    global _installed
    if not settings.otlp_url:
        return None
    with _lock:
        if _installed is None or _installed.pid != os.getpid():
            check(settings)
            if _installed is not None:
                _installed.close()  # What the parent listens with.
            _installed = Tracing(settings, role)
            _installed.listen()
        return _installed


def check(settings: Settings) -> None:
    """Raises SettingsError when traces are wanted without OpenTelemetry. What is imported before a fork is shared."""
    if settings.otlp_url:
        try:
            import opentelemetry.exporter.otlp.proto.http.trace_exporter
            import opentelemetry.sdk.trace  # noqa: F401
        except ImportError:
            raise errors.SettingsError(
                "MILLRACE_OTLP_URL: traces need OpenTelemetry; install it with: pip install 'millrace[otel]'"
            ) from None


def uninstall() -> None:
    """Trace no longer, and send what was not sent yet."""
    global _installed
    with _lock:
        if _installed is not None:
            _installed.close()
        _installed = None
