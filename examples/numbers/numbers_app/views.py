"""The HTTP door of this application: four calls, with the field names and status words of its clients.

A view takes the request apart, submits an event or reads a table, and answers; the work is done by the handlers.
"""

from __future__ import annotations

import decimal
import json
from collections.abc import Callable
from typing import Any

import flask
import pydantic
import werkzeug.exceptions
from flask.typing import ResponseReturnValue

from numbers_app import payloads, queries, status
from service.domain import errors
from service.web import face
from workers.face import parser

#: Bytes of a body. The door's own limit is meant for single events; a million numbers need more.
LARGEST_BODY = 32 * 1024 * 1024

page = flask.Blueprint("numbers", __name__)

#: The same blueprint twice, at two places.
blueprints = [page, (page, "/numbers")]

parse_request = parser(payloads.NumberRequest)
parse_update = parser(payloads.NumberUpdate)


@page.before_request
def take_long_lists() -> None:
    """Raise the limit of the body, for the calls of this blueprint only."""
    flask.request.max_content_length = LARGEST_BODY


@page.post("/number_request/", strict_slashes=False)
@face.needs(face.Permission.SUBMIT)
def request_numbers() -> ResponseReturnValue:
    """Take a list of numbers and jobs; the answer is the id under which its storing can be followed."""
    return _submit("numbers.requested", parse_request)


@page.post("/update_request/", strict_slashes=False)
@face.needs(face.Permission.SUBMIT)
def update_numbers() -> ResponseReturnValue:
    """Take the results that a program outside has found for single numbers."""
    return _submit("numbers.updated", parse_update)


@page.get("/number_request/", strict_slashes=False)
@face.needs(face.Permission.READ, face.Permission.SUBMIT)
def show_numbers() -> ResponseReturnValue:
    """A list with each job's present word. With ``?details=1`` the ids of the numbers and the results too."""
    rid = _rid(_asked("rid"))
    rows = queries.read(face.session(), rid)
    if rows is None:
        raise werkzeug.exceptions.NotFound(f"There is no request {rid}.")
    document: dict[str, Any] = {
        "rid": rid,
        "numbers": [_plain(row.value) for row in rows],
        "jobtodo": [row.job for row in rows],
    }
    if flask.request.args.get("details") == "1":
        document["numbers_id"] = [row.id for row in rows]
        document["result"] = [_plain(row.result) for row in rows]
    return document, 201


@page.get("/check_request/", strict_slashes=False)
@face.needs(face.Permission.READ, face.Permission.SUBMIT)
def check_request() -> ResponseReturnValue:
    """How far an event is."""
    task_id = _asked("taskID")
    if not isinstance(task_id, str):
        raise errors.InvalidEvent([errors.Fault("/taskID", "the id from a former answer is wanted, as a string")])
    if (event := face.find(task_id)) is None:
        raise werkzeug.exceptions.NotFound(f"No event with the id {task_id[:100]} was ever accepted.")
    return {"status": status.word(event), "response": status.response(event)}, 201


def _submit(event_type: str, parse: Callable[[Any], pydantic.BaseModel]) -> ResponseReturnValue:
    # Parsed here, and once more by `submit`, which takes JSON only and could not say where a NaN stands. What the
    # model does not know is left behind, and does not travel with the event.
    payload = parse(_body()).model_dump()
    return {"taskID": face.submit(event_type, payload)}, 201


def _asked(name: str) -> Any:
    """A field of the body, which these clients send with a GET too, or of the query."""
    if name in flask.request.args:
        return flask.request.args[name]
    body = _body() if flask.request.get_data() else {}
    if name not in body:
        raise errors.InvalidEvent([errors.Fault(f"/{name}", "it is missing, in the body and in the query")])
    return body[name]


def _body() -> dict[str, Any]:
    try:
        # Whatever the content type says: a bare `curl -d` names none. NaN is let in, to be refused with its place.
        body = json.loads(flask.request.get_data())
    except (ValueError, RecursionError) as error:
        raise werkzeug.exceptions.BadRequest(f"The body is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise errors.InvalidEvent([errors.Fault("", "a JSON object is wanted")])
    return body


def _rid(value: Any) -> int:
    try:
        return payloads.rid(value)
    except ValueError as error:
        raise errors.InvalidEvent([errors.Fault("/rid", str(error))]) from None


def _plain(value: decimal.Decimal | None) -> int | float | None:
    """A number as JSON writes it: without a fraction where there is none."""
    if value is None:
        return None
    return int(value) if value == value.to_integral_value() else float(value)
