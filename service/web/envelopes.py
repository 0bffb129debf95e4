"""``POST /v1/events``: events that carry their type themselves: CloudEvents, and many events at once."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from typing import Any

import flask
from werkzeug import exceptions

from service.application import accept
from service.application.submission import Accepted
from service.domain import errors, event
from service.domain.access import Permission
from service.web import access, answer, body, cloudevents, entry, gate, ndjson, road, show, timing
from service.web import errors as web_errors

MOST = 10_000  #: events in one request
SWITCH = {"0": False, "false": False, "1": True, "true": True}  #: the values of a parameter that says yes or no

LEFT = "millrace.left"  #: in the environment: seconds of the deadline that are left after a wait at the door

Outcome = accept.Outcome
Read = Callable[[], entry.Sent]  #: one of many events, not looked at yet; raises what is wrong with it

pages = flask.Blueprint("envelopes", __name__, url_prefix="/v1")


def brings_many(environ: dict[str, Any]) -> bool:
    """Whether a request brings many events, by what its headers say."""
    return (
        environ["PATH_INFO"] == "/v1/events"
        and environ["REQUEST_METHOD"] == "POST"
        and environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
        in (cloudevents.BATCH, *ndjson.MEDIA_TYPES)
    )


@pages.post("/events")
@access.needs(Permission.SUBMIT)
def take_events() -> flask.Response:
    """Take one CloudEvent, or many events; which it is, ``Content-Type`` says."""
    request = road.real(flask.request)
    if request.mimetype == cloudevents.STRUCTURED:
        return _structured(request)
    if request.mimetype == cloudevents.BATCH:
        return _batch(request)
    if request.mimetype in ndjson.MEDIA_TYPES:
        return _lines(request)
    if cloudevents.is_binary(request.environ):
        return _binary(request)
    raise exceptions.UnsupportedMediaType(
        f"Content-Type: {cloudevents.STRUCTURED}, {cloudevents.BATCH}, {ndjson.MEDIA_TYPES[0]},"
        " or headers ce-… are wanted; plain JSON goes to /v1/events/<type>"
    )


def _structured(request: flask.Request) -> flask.Response:
    here = road.current()
    depth = here.settings.max_depth
    times = timing.of_query(request.args)
    document = body.read(request, depth + 1)
    return show.accepted(entry.accept(here, cloudevents.of_json(document.value, times, depth)))


def _binary(request: flask.Request) -> flask.Response:
    here, times = road.current(), timing.of_query(request.args)
    if request.content_length or "CONTENT_TYPE" in request.environ:
        document = body.read(request, here.settings.max_depth)
    else:
        document = body.Document.of(None)  # Data is optional (core 3).
    return show.accepted(entry.accept(here, cloudevents.of_headers(request.environ, document, times)))


def _batch(request: flask.Request) -> flask.Response:
    settings = road.current().settings
    times = timing.of_query(request.args, also=("atomic",))
    request.max_content_length = settings.max_bulk
    found = body.read(request, settings.max_depth + 2).value
    if not isinstance(found, list):
        raise web_errors.InvalidCloudEvent([("", "an array of events is wanted")])

    def reader(value: Any) -> Read:
        return lambda: _small(cloudevents.of_json(value, times, settings.max_depth), settings.max_body)

    return _many(request, [reader(value) for value in found])


def _lines(request: flask.Request) -> flask.Response:
    settings = road.current().settings
    if unknown := request.args.keys() - {"atomic"}:
        raise web_errors.InvalidParameter([(n[:100], "there is no such parameter; there is atomic") for n in unknown])
    if "HTTP_IDEMPOTENCY_KEY" in request.environ:
        raise web_errors.InvalidHeader('Idempotency-Key: each event has a key of its own here, its member "key"')
    body.check_encoding(request)
    request.max_content_length = settings.max_bulk
    found = ndjson.lines(body.read_bytes(request))
    if not found:
        raise body.NotStrictJson(errors.Fault("", "the body is empty: a line of JSON for each event is wanted"))

    def reader(line: bytes) -> Read:
        return lambda: _small(ndjson.read(line, settings.max_depth), settings.max_body)

    return _many(request, [reader(line) for line in found])


def _small(sent: entry.Sent, limit: int) -> entry.Sent:
    """The event itself, if it is no larger than one that comes alone."""
    if len(sent.document.text) > limit:
        raise web_errors.EventTooLarge(f"its payload has more than {limit} bytes")
    return sent


def _many(request: flask.Request, readers: Sequence[Read]) -> flask.Response:
    if len(readers) > MOST:
        raise exceptions.RequestEntityTooLarge(f"at most {MOST} events may come at once; these are {len(readers)}")
    switch = request.args.get("atomic", "0").lower()
    if switch not in SWITCH:
        raise web_errors.InvalidParameter([("atomic", "1 or 0 is wanted")])
    return _answer(_store_all(readers) if SWITCH[switch] else _store_each(readers))


def _store_each(readers: Sequence[Read]) -> list[Outcome]:
    """Store what can be stored; what came of each."""
    here = road.current()
    until = _until(here)
    check = entry.checker(here)
    outcomes: list[Outcome] = []
    # Part by part, so that a large request keeps neither the others from the ledger nor all its events in memory.
    for start in range(0, len(readers), accept.FLUSH):
        checked = [_checked(check, read) for read in readers[start : start + accept.FLUSH]]
        events = [c for c in checked if isinstance(c, event.NewEvent)]
        try:
            with gate.posts():
                stored = iter(here.intake.submit_each(events, max(0.0, until - time.monotonic())))
        except accept.NotStored as error:
            stored = itertools.repeat(error)
        outcomes += [next(stored) if isinstance(c, event.NewEvent) else c for c in checked]
    return outcomes


def _store_all(readers: Sequence[Read]) -> list[Outcome]:
    """Store all events in one commit. Raises NoneStored, with those that cannot be."""
    here = road.current()
    check = entry.checker(here)
    checked = [_checked(check, read) for read in readers]
    if refused := [_item(i, c) for i, c in enumerate(checked) if isinstance(c, errors.MillraceError)]:
        raise web_errors.NoneStored(refused)
    try:
        with gate.posts():
            events = [c for c in checked if isinstance(c, event.NewEvent)]
            return list(here.intake.submit(events, max(0.0, _until(here) - time.monotonic())))
    except errors.NotStorable as error:
        raise web_errors.NoneStored([_item(error.index, error)]) from None


def _until(here: road.Road) -> float:
    environ = road.real(flask.request).environ
    return time.monotonic() + float(environ.get(LEFT, here.settings.accept_deadline))


def _checked(check: Callable[[entry.Sent], event.NewEvent], read: Read) -> event.NewEvent | errors.MillraceError:
    try:
        return check(read())
    except errors.MillraceError as error:
        return error


def _answer(outcomes: Sequence[Outcome]) -> flask.Response:
    """202 if all are stored, else 207 with what came of each; 503 if the ledger has taken none of them."""
    items = [_item(index, outcome) for index, outcome in enumerate(outcomes)]
    refused = [o for o in outcomes if isinstance(o, errors.MillraceError)]
    late = [o for o in refused if isinstance(o, errors.NotAccepted)]
    document = {"accepted": len(items) - len(refused), "refused": len(refused), "items": items}
    headers = {"Retry-After": str(max(e.retry_after for e in late))} if late else {}
    if late and len(late) == len(items):
        ids = [i for error in late for i in error.event_ids]
        members = document | ({"stored": "unknown", "event_ids": ids} if ids else {"stored": "no"})
        return web_errors.problem(
            503, "No event could be stored in time; try again", str(late[0]), type="/problems/not-accepted",
            members=members, headers=headers,
        )  # fmt: skip
    return answer.Json(document, status=207 if refused else 202, headers=headers)


def _item(index: int, outcome: Outcome) -> dict[str, Any]:
    if isinstance(outcome, Accepted):
        return {"index": index, "status": 202, "id": outcome.id, "type": outcome.type}
    problem = web_errors.item(outcome)
    return {"index": index, "status": problem["status"], "problem": problem}
