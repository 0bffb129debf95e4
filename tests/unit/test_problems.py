"""Whatever goes wrong at the door is answered with a problem document (RFC 9457), and never with HTML."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Annotated, Any

import flask
import psycopg2
import pydantic
import pytest
import sqlalchemy
from flask.testing import FlaskClient
from werkzeug import datastructures, exceptions
from werkzeug.test import TestResponse

from service.application import accept, ports
from service.domain import errors, handlers
from service.local import spawn
from service.web import body
from service.web import errors as web_errors
from tests.memory import Road
from workers import face

SECRET = "db.internal.example:5432"

#: Each error that may reach a client, as it is raised, with its status.
KNOWN: dict[int, list[errors.MillraceError]] = {
    400: [
        body.NotStrictJson(errors.Fault("/a", "this key is repeated")),
        web_errors.InvalidHeader("X: no"),
        web_errors.InvalidCloudEvent([("id", "it is required")]),
    ],
    401: [errors.NotSignedIn(), errors.BadCredential("it has expired")],
    403: [errors.NotPermitted(permission="control")],
    404: [
        errors.UnknownEventType("no.such"),
        errors.EventNotFound(),
        errors.QueueNotFound("nowhere"),
        errors.StrayNotFound(),
        errors.ScheduleNotFound(),
        errors.KeyNotFound(),
        errors.UserNotFound(),
    ],
    409: [
        errors.BeingWorked(),
        errors.AlreadyEnded("succeeded"),
        errors.NotDead("pending"),
        errors.AlreadyReplayed("1", None),
        errors.AlreadyDiscarded(None),
        errors.ScheduleExists(),
        errors.DeclaredInCode(),
        errors.ScheduleRetired(),
        errors.UserExists(),
        errors.OwnUser(),
        errors.TwoKeysLive(),
        errors.NoKeysHere(),
    ],
    412: [errors.ScheduleChanged()],
    413: [web_errors.EventTooLarge()],
    422: [
        web_errors.InvalidParameter([("limit", "a number is wanted")]),
        errors.InvalidEvent([errors.Fault("/a/0", "a number is wanted")]),
        errors.InvalidSchedule([errors.Fault("/plan/cron", "five fields are wanted")]),
        errors.InvalidAccess([errors.Fault("/role", "one of producer, viewer is wanted")]),
        errors.KeyReused(),
        errors.ExpiresTooSoon(),
        web_errors.NoneStored([{"index": 3, "status": 404}]),
        errors.SearchTooSlow(),
    ],
    428: [web_errors.MatchRequired()],
    429: [errors.TooManyRequests(retry_after=7)],
    500: [errors.ModelFailed(KeyError("currency"))],
    503: [
        errors.NotAccepted(event_ids=("1", "2"), retry_after=7),
        accept.NotStored(),
        errors.LedgerUnavailable(SECRET),
        ports.FlushFailed(SECRET, in_doubt=True),
        errors.SchemaNotReady(SECRET),
        errors.IssuerUnavailable(SECRET),
        errors.Overloaded(retry_after=7),
    ],
}


def problem(answer: TestResponse, status: int) -> dict[str, Any]:
    """The problem document of an answer with this status, looked through."""
    assert (answer.status_code, answer.content_type) == (status, "application/problem+json")
    found: dict[str, Any] = json.loads(answer.data)
    assert found["status"] == status
    assert found["title"].strip(".") == found["title"] != ""
    assert found["detail"]
    assert found["type"] == "about:blank" or found["type"].startswith("/problems/")
    assert found["instance"] == answer.headers["X-Request-Id"] != ""
    return found


def raised(road: Road, error: Exception) -> TestResponse:
    """The answer when a post meets this error."""
    road.intake.fault = error
    return road.client().post("/v1/events/a.b", json={})


# --- our own errors -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "error"),
    [(status, error) for status, found in KNOWN.items() for error in found],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value,
)
def test_each_error_has_its_status_type_and_title(road: Road, status: int, error: errors.MillraceError) -> None:
    found = problem(raised(road, error), status)
    known = next(c for c in type(error).__mro__ if c in web_errors.STATUS)
    assert found["title"] == (known.__doc__ or "").split("\n")[0].removesuffix(".")
    assert found["type"].removeprefix("/problems/").replace("-", "") == known.__name__.lower()


def test_every_error_that_has_a_status_is_among_these() -> None:
    assert set(web_errors.STATUS) <= {type(error) for found in KNOWN.values() for error in found}


def every(known: type[Exception]) -> list[type[Exception]]:
    return [known, *(c for child in known.__subclasses__() for c in every(child))]


def test_an_error_that_is_no_business_of_clients_is_an_internal_one(road: Road) -> None:
    # What the command line raises never comes here.
    known = [c for c in every(errors.MillraceError) if not c.__module__.startswith("service.verbs")]
    private = [c for c in known if not set(c.__mro__) & set(web_errors.STATUS)]
    assert {errors.SettingsError, errors.BrokerUnavailable, spawn.LocalError} <= set(private)
    for error in private:
        assert SECRET not in raised(road, error(SECRET)).text
        assert problem(raised(road, error(SECRET)), 500)["title"] == "Internal error"


def test_what_exactly_is_wrong_is_told_part_by_part(road: Road) -> None:
    faults = [errors.Fault("/numbers/3", "a number is wanted"), errors.Fault("", "too long")]
    found = problem(raised(road, errors.InvalidEvent(faults)), 422)
    assert found["errors"] == [
        {"pointer": "/numbers/3", "detail": "a number is wanted"},
        {"pointer": "", "detail": "too long"},
    ]


def test_whether_an_event_may_be_stored_is_told(road: Road) -> None:
    withdrawn = raised(road, accept.NotStored())
    assert problem(withdrawn, 503)["stored"] == "no"
    assert "event_ids" not in json.loads(withdrawn.data)
    assert int(withdrawn.headers["Retry-After"]) >= 1
    in_flight = raised(road, errors.NotAccepted(event_ids=("1", "2"), retry_after=7))
    found = problem(in_flight, 503)
    assert (found["stored"], found["event_ids"], in_flight.headers["Retry-After"]) == ("unknown", ["1", "2"], "7")


# --- the unexpected -------------------------------------------------------------------------------------------------


def test_an_unexpected_error_is_logged_under_the_id_that_the_client_is_told(
    road: Road, caplog: pytest.LogCaptureFixture
) -> None:
    answer = raised(road, RuntimeError(f"no route to {SECRET}"))
    found = problem(answer, 500)
    assert SECRET not in answer.text
    (record,) = [r for r in caplog.records if r.levelno >= logging.ERROR]
    assert SECRET in str(record.exc_info)
    assert "`instance`" in found["detail"]


@pytest.mark.parametrize(
    "error",
    [
        psycopg2.OperationalError(SECRET),
        sqlalchemy.exc.OperationalError("select", {}, psycopg2.OperationalError(SECRET)),
        sqlalchemy.exc.TimeoutError(SECRET),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_ledger_that_is_away_in_a_view_of_an_app_is_a_503(
    road: Road, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    answer = raised(road, error)
    assert problem(answer, 503)["type"] == "/problems/ledger-unavailable"
    assert int(answer.headers["Retry-After"]) >= 1
    # Names of servers are for the logs.
    assert SECRET not in answer.text
    assert SECRET in caplog.text


# --- routes ---------------------------------------------------------------------------------------------------------

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND")
NOWHERE = (
    "/", "/v1", "/v1/", "/nope", "/v1/types/", "/v1//types", "/v1/events/a//b", "/v1/events/a/b", "/v1/events/",
    "/static/x", "/favicon.ico", "/%ff%00", "/../etc/passwd", "/v1/events/%2e%2e", "/v1/types;x=1",
)  # fmt: skip
PAGES = ("/docs",)  #: for people
BROWSER = {"Accept": "text/html,application/xhtml+xml"}


def places() -> list[str]:
    """Every route of the door with something in its gaps, and places where there is none."""
    rules = Road().client().application.url_map.iter_rules()
    programs = [rule.rule for rule in rules if not rule.rule.startswith("/console")]  # Pages are for people.
    return sorted({rule.replace("<", "").replace(">", "") for rule in programs} | set(NOWHERE))


@pytest.mark.parametrize("method", METHODS)
def test_nothing_is_ever_answered_with_html(client: FlaskClient, method: str) -> None:
    for place in places():
        answer = client.open(place, method=method, headers=BROWSER)
        if answer.status_code >= 400 or place not in PAGES:
            assert "html" not in answer.headers.get("Content-Type", ""), f"{method} {place}: {answer.data[:100]!r}"
        if answer.status_code >= 400 and method != "HEAD":
            problem(answer, answer.status_code)


def test_a_place_that_is_not_there_is_a_404(client: FlaskClient) -> None:
    assert problem(client.get("/nope"), 404)["title"] == "Not Found"


def test_a_method_that_is_not_taken_is_a_405_that_names_those_that_are(client: FlaskClient) -> None:
    answer = client.delete("/v1/types")
    problem(answer, 405)
    assert {"GET", "HEAD"} <= set(answer.headers["Allow"].split(", "))


@pytest.mark.parametrize("place", sorted(set(places()) - set(NOWHERE)))
def test_every_route_says_which_methods_it_takes(client: FlaskClient, place: str) -> None:
    adapter = client.application.url_map.bind("localhost")
    taken = {*adapter.allowed_methods(place), "OPTIONS"}
    answer = client.options(place)
    assert (answer.status_code, answer.data) == (204, b"")
    assert set(answer.headers["Allow"].split(", ")) == taken
    for method in {*METHODS} - taken:
        answer = client.open(place, method=method)
        assert (answer.status_code, set(answer.headers["Allow"].split(", "))) == (405, taken), method


@pytest.mark.parametrize("place", ["/healthz", "/v1/types", "/v1/events", "/v1/events/x", "/openapi.json", "/docs"])
def test_head_is_answered_as_get_is_without_the_body(client: FlaskClient, place: str) -> None:
    get, head = client.get(place), client.head(place)
    assert (head.status_code, head.data) == (get.status_code, b"")
    assert head.headers["Content-Type"] == get.headers["Content-Type"]
    assert head.headers.get("Content-Length") == get.headers.get("Content-Length")


def test_an_unknown_type_is_a_404_that_names_what_was_perhaps_meant(client: FlaskClient) -> None:
    assert "did you mean a.b?" in problem(client.post("/v1/events/a.c", json={}), 404)["detail"]
    assert "/v1/types" in problem(client.post("/v1/events/%00" + "x" * 9999, json={}), 404)["detail"]


# --- what apps do ---------------------------------------------------------------------------------------------------


def with_view(view: Callable[[], Any]) -> FlaskClient:
    """A client whose door has a view of an app at /view."""
    app: flask.Flask = Road().client().application
    app.add_url_rule("/view", view_func=view)
    return app.test_client()


@pytest.mark.parametrize("status", sorted(c for c in exceptions.default_exceptions if c >= 400))
def test_an_abort_in_a_view_is_a_problem(status: int) -> None:
    def view() -> Any:
        flask.abort(status)

    problem(with_view(view).get("/view"), status)


def test_the_words_and_headers_of_an_abort_are_kept() -> None:
    def view() -> Any:
        challenge = datastructures.WWWAuthenticate("bearer", {"realm": "numbers"})
        raise exceptions.Unauthorized("a token is wanted", www_authenticate=challenge)

    answer = with_view(view).get("/view")
    assert problem(answer, 401)["detail"] == "a token is wanted"
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_what_a_view_answers_itself_is_left_alone() -> None:
    def view() -> Any:
        flask.abort(flask.Response("<p>mine</p>", 418))

    answer = with_view(view).get("/view")
    assert (answer.status_code, answer.text) == (418, "<p>mine</p>")


def test_a_payload_that_does_not_fit_is_told_field_by_field() -> None:
    def parse(payload: Any) -> Any:
        return face.parser(dict[str, int])(payload)

    client = Road(handlers.Handler("a.b", print, parse=parse)).client()
    found = problem(client.post("/v1/events/a.b", json={"x/y": "1a", "b": 2, "~": None}), 422)
    assert [fault["pointer"] for fault in found["errors"]] == ["/x~1y", "/~0"]


def test_a_model_that_fails_is_told_as_a_fault_of_ours_and_sinks_no_other_event(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def price(value: dict[str, int]) -> int:
        return value["price"]  # KeyError, which pydantic lets through.

    parse = face.parser(Annotated[Any, pydantic.BeforeValidator(price)])
    client = Road(handlers.Handler("a.b", print, parse=parse)).client()
    found = problem(client.post("/v1/events/a.b", json={}), 500)
    assert (found["type"], "KeyError" in found["detail"]) == ("/problems/model-failed", True)
    assert "return value[" in caplog.text  # Where to look.
    lines = b"\n".join(json.dumps({"type": "a.b", "payload": {n: 1}}).encode() for n in ("price", "prise"))
    many = client.post("/v1/events", data=lines, content_type="application/x-ndjson")
    assert [item["status"] for item in json.loads(many.data)["items"]] == [202, 500]


def test_a_ledger_that_is_away_in_a_model_is_no_fault_of_the_model() -> None:
    def ask(value: Any) -> None:
        raise psycopg2.OperationalError(SECRET)

    parse = face.parser(Annotated[Any, pydantic.BeforeValidator(ask)])
    found = problem(Road(handlers.Handler("a.b", print, parse=parse)).client().post("/v1/events/a.b", json={}), 503)
    assert found["type"] == "/problems/ledger-unavailable"
