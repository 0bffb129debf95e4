"""The express lane: a plain post of one event is answered before Flask takes it apart.

Of what a post costs, Flask's machinery (contexts, routing, request and response objects) was more than half. So the
plain case, ``POST /v1/events/<type>`` with a JSON body of known length and nothing unusual in its headers, is served
here as a WSGI middleware, with the very functions that the view uses. Everything else goes through Flask, and so does
everything that goes wrong here: the error is raised there, in the one place where errors become answers.

An application that hooks into requests by Flask's means has its hooks called for every request: then there is no lane.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

import flask

from service import signals
from service.web import answer, body, entry, gate, hooks, idempotency, show, timing, trace
from service.web.road import Road

PREFIX = "/v1/events/"
ROUTE = "/v1/events/<name>"  #: as the view's route is named in metrics
#: With one of these a request is not plain.
UNUSUAL = ("HTTP_PREFER", "HTTP_CONTENT_ENCODING", "HTTP_TRANSFER_ENCODING")

StartResponse = Callable[..., Any]
Wsgi = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]


class Lane:
    """A WSGI application around that of Flask."""

    def __init__(self, app: flask.Flask, road: Road) -> None:
        self._app = app
        self._flask: Wsgi = app.wsgi_app
        self._road = road
        self._gate: gate.Gate = app.extensions[gate.NAME].posts
        self._hooked: bool | None = None  # Known with the first request: hooks come after us.

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        if not self._is_plain(environ):
            return self._flask(environ, start_response)
        started = time.perf_counter()
        request_id = hooks.request_id(environ.get("HTTP_X_REQUEST_ID", ""))
        trace.begin(environ)
        try:
            document = self._take(environ, request_id)
        except Exception as error:
            environ[hooks.ALREADY] = hooks.Already(started, request_id, error)
            return self._flask(environ, start_response)
        data = answer.encoder.encode(document)
        start_response(
            "202 ACCEPTED",
            [
                ("Content-Type", "application/json"),
                ("Content-Length", str(len(data))),
                ("Location", document["links"]["self"]),
                ("X-Request-Id", request_id),
            ],
        )
        seconds = time.perf_counter() - started
        signals.request_finished.send(
            None,
            method="POST",
            route=ROUTE,
            code=202,
            seconds=seconds,
            traceparent=environ.get(trace.KEY),
        )
        return (data,)

    def _is_plain(self, environ: dict[str, Any]) -> bool:
        path: str = environ["PATH_INFO"]
        return (
            environ["REQUEST_METHOD"] == "POST"
            and path.startswith(PREFIX)
            and path[len(PREFIX) :] in self._road.registry
            and not environ.get("QUERY_STRING")
            and environ.get("CONTENT_TYPE") == "application/json"
            and 0 < _length(environ) <= self._road.settings.max_body
            and not any(name in environ for name in UNUSUAL)
            and not self._is_hooked()
        )

    def _is_hooked(self) -> bool:
        if self._hooked is None:
            self._hooked = hooks.are_others(self._app)
        return self._hooked

    def _take(self, environ: dict[str, Any], request_id: str) -> dict[str, Any]:
        here = self._road
        key = idempotency.key(environ.get("HTTP_IDEMPOTENCY_KEY"))
        data = body.whole(environ["wsgi.input"].read(_length(environ)), _length(environ))
        document = body.parse(data, here.settings.max_depth)
        sent = entry.Sent(environ["PATH_INFO"][len(PREFIX) :], document, key=key, timing=timing.NONE)
        new = entry.new_event(here, sent, hooks.producer(environ), request_id, environ)
        with self._gate:
            accepted = here.intake.submit([new])[0]
        return show.accepted_document(accepted, environ)


def _length(environ: dict[str, Any]) -> int:
    given: str = environ.get("CONTENT_LENGTH", "")
    return int(given) if given.isdecimal() and len(given) < 12 else 0
