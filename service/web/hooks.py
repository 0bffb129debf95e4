"""Around every request: its id, its start and its producer are in ``flask.g``; afterwards nothing is left open."""

from __future__ import annotations

import dataclasses
import os
import re
import time
from typing import Any

import flask

from service import signals
from service.domain import chain, errors
from service.telemetry import logging as logs
from service.web import access, guard, headers, road, signin, trace, whence

#: A request id that is kept. Any other is replaced, for it goes into logs and headers.
REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
PRODUCER_LENGTH = 100  #: characters kept
PRODUCT_END = re.compile("[/ ]")
UNMATCHED = "unmatched"  #: the route of a request that meets none
ALREADY = "millrace.already"  #: key in a WSGI environment: what was done of a request before Flask got it


@dataclasses.dataclass(frozen=True, slots=True)
class Already:
    """A request that went wrong before Flask got it (``service.web.door``)."""

    started: float  #: by ``time.perf_counter()``
    request_id: str
    error: Exception  #: to be raised in Flask, whose handlers know the answer


def install(app: flask.Flask) -> None:
    """Put the hooks around all requests of ``app``."""
    app.before_request(begin)
    app.after_request(finish)
    app.teardown_request(end)


def refuse(environ: dict[str, Any], error: Exception) -> None:
    """Have Flask answer this request with an error."""
    environ[ALREADY] = Already(time.perf_counter(), request_id(environ.get("HTTP_X_REQUEST_ID", "")), error)


def are_others(app: flask.Flask) -> bool:
    """Whether anybody else has put hooks around the requests of ``app``, or around those of a blueprint."""
    ours = {begin, finish, end}
    tables = (app.before_request_funcs, app.after_request_funcs, app.teardown_request_funcs)
    hooked = {hook for table in tables for hooks in table.values() for hook in hooks}
    listened = (flask.request_started, flask.request_finished, flask.request_tearing_down)
    return bool(hooked - ours) or any(signal.receivers for signal in listened)


def begin() -> Any:
    """Note who asks, and when; let nobody pass who may not. A response here is the answer."""
    g, environ, here = road.real(flask.g), flask.request.environ, road.current()
    # Whoever only reads is answered within the deadline, though the ledger be silent.
    here.queries.allow(here.settings.accept_deadline if environ["REQUEST_METHOD"] in whence.SAFE else None)
    already: Already | None = environ.get(ALREADY)
    g.started = time.perf_counter() if already is None else already.started
    g.request_id = request_id(environ.get("HTTP_X_REQUEST_ID", "")) if already is None else already.request_id
    trace.begin(environ)
    g.log_ids = logs.bind(request_id=g.request_id)
    answered = _admit(environ)
    g.producer = producer(environ)
    if already is not None:
        raise already.error
    return answered


def _admit(environ: dict[str, Any]) -> Any:
    """Have the guard look at a request that meets a route; where nobody is signed in, a browser is led to the door."""
    request, keeper = road.real(flask.request), guard.current()
    chain.begin(flask.g.request_id, keeper.address(environ) or None)
    if request.url_rule is None:
        return None  # Nothing is there, for nobody.
    view = flask.current_app.view_functions[request.url_rule.endpoint]
    try:
        keeper.admit(request, access.all_needed(view))
    except errors.NotSignedIn:
        if (answer := signin.instead(request)) is not None:
            return answer
        raise
    return None


def request_id(given: str) -> str:
    """The client's request id if it is sane, else a new one."""
    return given if REQUEST_ID.fullmatch(given) else os.urandom(16).hex()


def producer(environ: dict[str, Any]) -> str | None:
    """Who sends: the principal, and what ``X-Producer`` says beside it (``orders-service/eu-1``).

    While access is off, as they say themselves: ``X-Producer``, or the first product in ``User-Agent`` (``curl``).
    """
    if (principal := access.of(environ)) is not None:
        beside = named_producer(environ)
        return principal.name if beside is None else f"{principal.name}/{beside}"[:PRODUCER_LENGTH]
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
    headers.add(response, request)
    signals.request_finished.send(
        None,
        method=request.method,
        route=request.url_rule.rule if request.url_rule else UNMATCHED,
        code=response.status_code,
        seconds=time.perf_counter() - g.started,
        traceparent=request.environ.get(trace.KEY),
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
