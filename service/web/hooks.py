"""Around every request: its id, its start and its producer are in ``flask.g``; afterwards nothing is left open."""

from __future__ import annotations

import os
import re
import time
from typing import Any

import flask

from service import signals
from service.telemetry import logging as logs
from service.web import road, trace

#: A request id that is kept. Any other is replaced, for it goes into logs and headers.
REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
PRODUCER_LENGTH = 100  #: characters kept
PRODUCT_END = re.compile("[/ ]")
UNMATCHED = "unmatched"  #: the route of a request that meets none


def install(app: flask.Flask) -> None:
    """Put the hooks around all requests of ``app``."""
    app.before_request(begin)
    app.after_request(finish)
    app.teardown_request(end)


def begin() -> None:
    """Note who asks, and when."""
    g, environ = road.real(flask.g), flask.request.environ
    g.started = time.perf_counter()
    g.request_id = request_id(environ.get("HTTP_X_REQUEST_ID", ""))
    g.producer = producer(environ)
    given = trace.valid(environ.get("HTTP_TRACEPARENT"))
    g.traceparent = signals.asked(signals.request_begun, given, method=environ["REQUEST_METHOD"], traceparent=given)
    g.log_ids = logs.bind(request_id=g.request_id)


def request_id(given: str) -> str:
    """The client's request id if it is sane, else a new one."""
    return given if REQUEST_ID.fullmatch(given) else os.urandom(16).hex()


def producer(environ: dict[str, Any]) -> str | None:
    """Who sends, as they say themselves: ``X-Producer``, or the first product in ``User-Agent`` (``curl``)."""
    agent: str = environ.get("HTTP_USER_AGENT", "")
    return named_producer(environ) or _name(PRODUCT_END.split(agent, 1)[0])


def named_producer(environ: dict[str, Any]) -> str | None:
    """What ``X-Producer`` says."""
    return _name(environ.get("HTTP_X_PRODUCER", ""))


def _name(given: str) -> str | None:
    name = given.strip()[:PRODUCER_LENGTH]
    return name if name and name.isprintable() else None


def finish(response: flask.Response) -> flask.Response:
    """Give the id back, and tell the listeners."""
    g, request = road.real(flask.g), road.real(flask.request)
    response.headers["X-Request-Id"] = g.request_id
    signals.request_finished.send(
        None,
        method=request.method,
        route=request.url_rule.rule if request.url_rule else UNMATCHED,
        code=response.status_code,
        seconds=time.perf_counter() - g.started,
    )
    return response


def end(_error: BaseException | None) -> None:
    """Leave neither a session nor a bound id behind, whatever happened."""
    g = road.real(flask.g)
    session = g.pop("session", None)
    try:
        if session is not None:
            session.close()  # What was not committed is rolled back.
    finally:
        if "log_ids" in g:
            logs.unbind(g.log_ids)
