"""The express lane: a plain post of one event is answered on the event loop, without Flask and without a thread.

Of what a post costs, Flask's contexts, routing and objects were more than half, and most of the rest was threads that
woke each other up. So the plain case, ``POST /v1/events/<type>`` with a JSON body of known length and nothing unusual
in its headers, is served here, by the very functions that the view uses. Everything else goes through Flask, and so
does everything that goes wrong here: the error is raised there, in the one place where errors become answers.

An application that hooks into requests by Flask's means has its hooks called for every request: then there is no lane.
A payload model's validators run on the loop: they must not wait for anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from typing import Any, Protocol

import flask

from service import signals
from service.application.submission import Accepted, Submission
from service.domain import event
from service.web import answer, body, entry, guard, headers, hooks, idempotency, inbound, show, trace
from service.web.road import Road

PREFIX = "/v1/events/"
ROUTE = "/v1/events/<name>"  #: as the view's route is named in metrics
#: With one of these a request is not plain.
UNUSUAL = frozenset({"HTTP_PREFER", "HTTP_CONTENT_ENCODING", "HTTP_TRANSFER_ENCODING", "HTTP_EXPECT"})


class Lane:
    """Takes plain posts; one for each process, used by its event loop alone."""

    def __init__(self, app: flask.Flask, road: Road) -> None:
        self._road = road
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_open = not hooks.are_others(app)
        self._guard: guard.Guard = app.extensions[guard.NAME]

    def open_on(self, loop: asyncio.AbstractEventLoop) -> None:
        """Serve requests of this loop."""
        self._loop = loop

    def takes(self, environ: dict[str, Any]) -> bool:
        """Whether this request is a plain one."""
        path: str = environ["PATH_INFO"]
        return (
            self._is_open
            and environ["REQUEST_METHOD"] == "POST"
            and path.startswith(PREFIX)
            and path[len(PREFIX) :] in self._road.registry
            and not environ["QUERY_STRING"]
            and environ.get("CONTENT_TYPE") == "application/json"
            and 0 < inbound.length(environ) <= self._road.settings.max_body
            and UNUSUAL.isdisjoint(environ)
            and self._guard.glance(environ, path[len(PREFIX) :])
        )

    async def serve(self, environ: dict[str, Any], protocol: Answerable) -> bool:
        """Answer a plain post; False if it went wrong, and Flask shall say how."""
        started = time.perf_counter()
        request_id = hooks.request_id(environ.get("HTTP_X_REQUEST_ID", ""))
        trace.begin(environ)
        try:
            length = inbound.length(environ)
            data = await inbound.read(protocol, length, self._road.settings.body_deadline)
            new = self._read(environ, data, length, request_id)
            document = show.accepted_document(await self._store(new), self._road.intake, environ)
        except Exception as error:
            environ[hooks.ALREADY] = hooks.Already(started, request_id, error)
            return False
        found = [
            ("content-type", "application/json"),
            ("location", document["links"]["self"]),
            ("x-request-id", request_id),
            headers.NOSNIFF,
        ]
        if self._guard.is_on:
            found.append(headers.PRIVATE)
        protocol.response_bytes(202, found, answer.encoder.encode(document))
        seconds = time.perf_counter() - started
        signals.request_finished.send(
            None,
            method="POST",
            route=ROUTE,
            code=202,
            seconds=seconds,
            traceparent=environ.get(trace.KEY),
        )
        return True

    def _read(self, environ: dict[str, Any], data: bytes, length: int, request_id: str) -> event.NewEvent:
        key = idempotency.key(environ.get("HTTP_IDEMPOTENCY_KEY"))
        document = body.parse(body.whole(data, length), self._road.settings.max_depth)
        sent = entry.Sent(environ["PATH_INFO"][len(PREFIX) :], document, key=key)
        return entry.new_event(self._road, sent, hooks.producer(environ), request_id, environ)

    async def _store(self, new: event.NewEvent) -> Accepted:
        """Hand the event to the intake, and wait without a thread; raises as ``Intake.submit`` does."""
        assert self._loop is not None
        waiter = self._loop.create_future()
        submission = self._road.intake.begin(new, self._answered, waiter)
        late = self._loop.call_later(self._road.settings.accept_deadline, self._give_up, submission)
        try:
            accepted: Accepted = (await waiter)[0]
        finally:
            late.cancel()
        return accepted

    def _answered(self, submissions: Sequence[Submission]) -> None:
        """Called by the intake thread, once for all of a flush."""
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # The loop may have ended, and with it whoever waited.
            self._loop.call_soon_threadsafe(_resolve, submissions)

    def _give_up(self, submission: Submission) -> None:
        try:
            self._road.intake.give_up(submission)
        except Exception as error:
            if not submission.waiter.done():
                submission.waiter.set_exception(error)


class Answerable(inbound.Readable, Protocol):
    """What the lane needs of RSGI's protocol."""

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None: ...


def _resolve(submissions: Sequence[Submission]) -> None:
    for submission in submissions:
        if submission.waiter.done():
            continue  # It has given up, or its client has gone.
        if submission.error is not None:
            submission.waiter.set_exception(submission.error)
        else:
            submission.waiter.set_result(submission.accepted)
