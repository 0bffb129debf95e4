"""The API of events on a real ledger: what is posted, how it is shown, found and told apart."""

from __future__ import annotations

import concurrent.futures
import contextlib
import datetime
import http.client
import json
import logging
import pathlib
import re
import time
import urllib.parse
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import flask
import pydantic
import pytest
import sqlalchemy
from werkzeug.test import TestResponse

from service import bootstrap, settings, web
from service.application.watch import Watch
from service.domain import event, outcome
from service.ledger import engine as engines
from service.ledger import queries
from service.local.postgres import PostgresServer
from service.telemetry import lines, masking
from service.web import face
from tests.door import TIMEOUT, Door
from tests.ledgers import Ledger
from tests.patience import wait
from tests.road import Road
from workers.face import parser

pytestmark = pytest.mark.postgres

AWAY = "amqp://guest:guest@127.0.0.1:1//"  #: a broker that nobody has started
CLIENTS = 50


class Order(pydantic.BaseModel):
    """An order."""

    number: int
    lines: list[int] = []


def answered(payload: Any, ctx: Any) -> Any:
    """Give the payload back, or do what it says."""
    if payload == "fail":
        raise RuntimeError("as it was told")
    if payload == "discard":
        raise outcome.Discard("nobody wants it")
    return payload


class Api:
    """A door with a real ledger behind it, and the worker's part in the hands of the test."""

    def __init__(self, url: str) -> None:
        self.ledger = Ledger(url, deadline=2.0)
        self.ledger.handler("orders.created", answered, payload=Order, parse=parser(Order), doc="Takes an order.")
        self.ledger.handler("echo", answered, attempts=2, queue="slow", bundle=7)
        self.ledger.handler("other", answered)
        self.engine = engines.Engine(url, size=4, role="millrace-web")
        given = settings.Settings.model_construct(database_url=url)
        road = bootstrap.WebRoad(
            given,
            self.ledger.registry,
            self.engine,
            self.ledger.intake,
            self.ledger.publisher,
            queries.Queries(self.engine),
            Watch(queries.Queries(self.engine), room=1),
            bootstrap.operations(
                settings.Settings.model_construct(database_url=url), self.engine, self.ledger.registry
            ),
        )
        self.app = web.create_app(road)
        self.app.add_url_rule("/use/<then>", view_func=use_session)
        self.client = self.app.test_client()

    def post(self, payload: Any, type_name: str = "echo", key: str | None = None, **headers: str) -> TestResponse:
        """Post an event, from a client of its own."""
        given = {"Idempotency-Key": key} if key is not None else {}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        return self.app.test_client().post(
            f"/v1/events/{type_name}", data=json.dumps(payload), content_type="application/json", headers=given
        )

    def id(self, payload: Any = None, type_name: str = "echo", **headers: str) -> str:
        """The id of an event that is posted and accepted."""
        answer = self.post(payload, type_name, **headers)
        assert answer.status_code == 202, answer.text
        return str(json.loads(answer.data)["id"])

    def id_of_its_own_instant(self) -> str:
        """The id of an event that shares its millisecond, which is how instants are told, with no other one."""
        time.sleep(0.002)
        return self.id()

    def show(self, event_id: str) -> dict[str, Any]:
        """The document of an event."""
        return ok(self.client.get(f"/v1/events/{event_id}"))

    def list(self, **query: Any) -> dict[str, Any]:
        """A page of the list."""
        return ok(self.client.get("/v1/events", query_string=query))

    def found(self, **query: Any) -> list[str]:
        """The ids on a page of the list."""
        return [found["id"] for found in self.list(**query)["events"]]

    def count(self) -> int:
        """How many events the ledger holds."""
        return int(self.ledger.sql("select count(*) from millrace.events")[0][0])

    def assert_at_rest(self) -> None:
        """Whatever was asked, and however it was answered: no session is left open."""
        assert self.engine.get().pool.checkedout() == 0  # type: ignore[attr-defined]


def ok(answer: TestResponse) -> dict[str, Any]:
    """The document of an answer that is a good one."""
    assert (answer.status_code, answer.content_type) == (200, "application/json"), answer.text
    document: dict[str, Any] = json.loads(answer.data)
    return document


def problem(answer: TestResponse, status: int) -> dict[str, Any]:
    """The problem document of an answer with this status."""
    assert (answer.status_code, answer.content_type) == (status, "application/problem+json"), answer.text
    document: dict[str, Any] = json.loads(answer.data)
    return document


@pytest.fixture
def api(database: str) -> Iterator[Api]:
    """A door to a ledger of the test's own."""
    api = Api(database)
    yield api
    api.assert_at_rest()
    api.engine.dispose()


@pytest.fixture(scope="module")
def standing(postgres: PostgresServer, ledger_template: str) -> Iterator[Api]:
    postgres.execute(f"create database api template {ledger_template}")
    api = Api(postgres.dsn_of("api"))
    yield api
    api.engine.dispose()
    postgres.execute("drop database api with (force)")


@pytest.fixture
def shared(standing: Api) -> Iterator[Api]:
    """A door for tests that do not mind what others have posted."""
    yield standing
    standing.assert_at_rest()


# --- posting --------------------------------------------------------------------------------------------------------


def test_a_posted_event_is_accepted_with_its_place_and_its_document(api: Api) -> None:
    answer = api.post({"b": 1, "a": [2]})
    document = json.loads(answer.data)
    assert (answer.status_code, answer.content_type) == (202, "application/json")
    assert answer.headers["Location"] == document["links"]["self"] == f"/v1/events/{document['id']}"
    assert (document["type"], document["state"]) == ("echo", "pending")
    assert uuid.UUID(document["id"]).version == 7
    shown = ok(api.client.get(answer.headers["Location"]))
    assert {name: shown[name] for name in document} == document
    assert shown["payload"] == {"b": 1, "a": [2]}


def test_a_payload_that_does_not_fit_its_model_is_refused_field_by_field(shared: Api) -> None:
    found = problem(shared.post({"number": "x", "lines": [1, "2a", None]}, "orders.created"), 422)
    assert [fault["pointer"] for fault in found["errors"]] == ["/number", "/lines/1", "/lines/2"]
    assert all(fault["detail"] for fault in found["errors"])
    assert [f["pointer"] for f in problem(shared.post([], "orders.created"), 422)["errors"]] == [""]
    assert shared.found(type="orders.created") == []
    taken = shared.id({"number": 1}, "orders.created")
    assert shared.found(type="orders.created") == [taken]


def test_what_the_ledger_alone_cannot_keep_is_refused_too(shared: Api) -> None:
    """jsonb knows no number of more than 131,072 digits before the point; the door lets none of over 4,300 pass."""
    assert shared.show(shared.id(10**4299))["payload"] == 10**4299
    problem(shared.client.post("/v1/events/echo", data="1" * 4301, content_type="application/json"), 400)


# --- idempotency keys -----------------------------------------------------------------------------------------------


def test_a_repeat_gets_the_answer_of_the_first(api: Api) -> None:
    first = api.post({"a": 1, "b": 2}, key='"8e03978e"')
    assert first.status_code == 202
    for payload, key in (({"a": 1, "b": 2}, '"8e03978e"'), ({"b": 2, "a": 1}, "8e03978e")):
        again = api.post(payload, key=key)
        assert (again.status_code, again.data, again.headers["Location"]) == (
            202,
            first.data,
            first.headers["Location"],
        )
    assert api.count() == 1


@pytest.mark.fault(32)
def test_a_repeat_after_the_event_was_worked_gets_the_same_answer(api: Api) -> None:
    first = api.post(1, key="k")
    api.ledger.work()
    assert api.post(1, key="k").data == first.data
    assert api.count() == 1


@pytest.mark.fault(33)
def test_a_key_that_is_used_for_something_else_is_refused(api: Api) -> None:
    api.id(1, key="k")
    assert problem(api.post(2, key="k"), 422)["type"] == "/problems/key-reused"
    problem(api.post(1, "other", key="k"), 422)
    assert api.count() == 1
    # Other producers have keys of their own.
    api.id(2, key="k", X_Producer="someone else")
    assert api.count() == 2


@pytest.mark.parametrize(
    "key", ["", '""', " ", "two words", 'one"quote', "\x7f", "é", '"é"', "x" * 256, f'"{"x" * 256}"']
)
def test_a_key_that_cannot_be_kept_is_refused(shared: Api, key: str) -> None:
    assert "Idempotency-Key" in problem(shared.post(1, key=key), 400)["detail"]


@pytest.mark.parametrize("key", ["x" * 255, f'"{"x" * 255}"', '"two words"', '"a \\"b\\" \\\\"', "a:b/c=~1"])
def test_a_key_may_be_a_token_or_any_quoted_ascii(shared: Api, key: str) -> None:
    assert shared.id(1, key=key) == shared.id(1, key=key)


def at_once(action: Callable[[int], TestResponse]) -> list[TestResponse]:
    """What many clients are answered at once."""
    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        return list(pool.map(action, range(CLIENTS)))


def test_fifty_twins_at_once_are_one_event(api: Api) -> None:
    answers = at_once(lambda _: api.post({"n": 1}, key="twins"))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.data for answer in answers}) == 1
    assert api.count() == 1


@pytest.mark.fault(33)
def test_of_two_bodies_under_one_key_one_is_stored_and_the_other_refused(api: Api) -> None:
    answers = at_once(lambda number: api.post({"n": number % 2}, key="twins"))
    assert sorted(a.status_code for a in answers) == [202] * (CLIENTS // 2) + [422] * (CLIENTS // 2)
    assert len({a.data for a in answers if a.status_code == 202}) == 1
    assert api.count() == 1


# --- one event ------------------------------------------------------------------------------------------------------


def state(document: dict[str, Any]) -> tuple[str, str | None]:
    return document["state"], document["reason"]


def test_a_new_event_is_queued(api: Api) -> None:
    found = api.show(api.id("x", X_Producer="shop", X_Request_Id="r-1"))
    assert state(found) == ("pending", "queued")
    assert (found["attempt"], found["attempts"], found["result"], found["error"]) == (0, [], None, None)
    assert (found["producer"], found["request_id"]) == ("shop", "r-1")
    assert moment(found["accepted_at"]) <= datetime.datetime.now(datetime.UTC)
    assert found["finished_at"] is None


def test_an_event_for_later_is_scheduled(api: Api) -> None:
    later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)
    [accepted] = api.ledger.intake.submit([event.NewEvent(type="echo", payload="1", run_at=later)])
    found = api.show(accepted.id)
    assert state(found) == ("pending", "scheduled")
    assert moment(found["run_at"]) == later


def test_a_worked_event_has_its_result(api: Api) -> None:
    event_id = api.id({"a": 1})
    api.ledger.work()
    found = api.show(event_id)
    assert state(found) == ("succeeded", None)
    assert (found["result"], found["error"], found["attempts"]) == ({"a": 1}, None, [])
    assert moment(found["accepted_at"]) <= moment(found["finished_at"])


def test_an_event_that_failed_is_retrying_and_then_dead_with_every_attempt(api: Api) -> None:
    event_id = api.id("fail")
    api.ledger.work()
    found = api.show(event_id)
    assert state(found) == ("pending", "retrying")
    assert (found["attempt"], found["error"]) == (1, {"error": "RuntimeError", "message": "as it was told"})
    assert moment(found["run_at"]) > moment(found["accepted_at"])

    api.ledger.sql("update millrace.events set run_at = now()")
    api.ledger.work()
    found = api.show(event_id)
    assert state(found) == ("dead", "attempts")
    assert [a["number"] for a in found["attempts"]] == [1, 2]
    for attempt in found["attempts"]:
        assert (attempt["error"], attempt["message"], attempt["worker"]) == ("RuntimeError", "as it was told", "test")
        assert moment(attempt["started_at"]) <= moment(attempt["finished_at"])


def test_an_event_that_was_discarded_says_why(api: Api) -> None:
    event_id = api.id("discard")
    api.ledger.work()
    found = api.show(event_id)
    assert state(found) == ("dead", "discarded")
    assert "nobody wants it" in json.dumps(found["error"])


def test_an_event_of_a_paused_type_is_paused(api: Api) -> None:
    api.ledger.sql("insert into millrace.types (name, paused_at) values ('echo', now())")
    api.id()  # This flush learns of the pause.
    assert state(api.show(api.id())) == ("pending", "paused")


def test_an_event_behind_a_full_window_is_held_back(api: Api) -> None:
    event_id = api.id()
    api.ledger.until(lambda: state(api.show(event_id)) == ("pending", "queued"))
    api.ledger.sql("insert into millrace.types (name, out_events) values ('echo', 20000)")
    api.ledger.until(
        lambda: api.ledger.sql("select count(*) from millrace.tickets where published_at is null")[0][0] == 0
    )
    api.ledger.sql("update millrace.tickets set published_at = null, due_at = now()")
    assert state(api.show(event_id)) == ("pending", "held back")


def test_numbers_are_shown_as_they_were_sent(shared: Api) -> None:
    text = '{"a":0.1,"b":18446744073709551616,"c":1.7976931348623157e+308,"d":-0.0}'
    event_id = json.loads(shared.client.post("/v1/events/echo", data=text, content_type="application/json").data)["id"]
    shown = json.loads(shared.client.get(f"/v1/events/{event_id}").data, parse_int=str, parse_float=str)["payload"]
    assert {name: float(value) for name, value in shown.items()} == json.loads(text)
    assert (shown["a"], shown["b"]) == ("0.1", "18446744073709551616")


@pytest.mark.parametrize(
    "event_id", [str(uuid.UUID(int=0)), "5f0c1c8e-6f0e-4d6f-9b57-0a3f3c1d2e4f", "7", "x" * 3000, "%00", "' or 1=1 --"]
)
def test_an_event_that_is_not_there_is_a_404(shared: Api, event_id: str) -> None:
    answer = shared.client.get(f"/v1/events/{urllib.parse.quote(event_id, safe='%')}")
    assert problem(answer, 404)["type"] == "/problems/event-not-found"


def test_an_id_may_be_written_in_capitals(shared: Api) -> None:
    event_id = shared.id()
    assert shared.show(event_id.upper())["id"] == event_id


def moment(text: str) -> datetime.datetime:
    """An instant as it is shown: RFC 3339, in UTC."""
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", text), text
    return datetime.datetime.fromisoformat(text)


# --- many events ----------------------------------------------------------------------------------------------------


def test_a_list_is_narrowed_by_each_filter_and_by_all_of_them(api: Api) -> None:
    first = api.id(X_Producer="shop")
    dead = api.id("discard")
    api.ledger.work()
    other = api.id(type_name="other", X_Producer="shop")
    last = api.id()
    assert api.found() == [last, other, dead, first]
    assert api.found(type="echo") == [last, dead, first]
    assert api.found(type="nobody.knows") == []
    assert api.found(producer="shop") == [other, first]
    assert api.found(state="succeeded") == [first]
    assert api.found(state="dead") == [dead]
    assert api.found(state="pending") == [last, other]
    assert api.found(state="running") == []
    assert api.found(cursor=dead) == [first]
    assert api.found(type="other", state="pending", producer="shop", since="2020-01-01T00:00:00Z") == [other]


def test_a_list_may_begin_and_end_at_the_instant_of_an_event(api: Api) -> None:
    first, middle, last = (api.id_of_its_own_instant() for _ in range(3))
    instant = api.show(middle)["accepted_at"]
    assert api.found(since=instant) == [last, middle]
    assert api.found(until=instant) == [first]


@pytest.mark.parametrize("instant", ["0001-01-01T00:00:00Z", "1969-12-31T23:59:59.999Z", "2020-01-01T00:00:00-14:00"])
def test_an_instant_long_ago_is_before_all_events(api: Api, instant: str) -> None:
    event_id = api.id()
    assert (api.found(since=instant), api.found(until=instant)) == ([event_id], [])


def test_an_instant_far_ahead_is_after_all_events(api: Api) -> None:
    event_id = api.id()
    ahead = "9999-12-31T23:59:59Z"
    assert (api.found(since=ahead), api.found(until=ahead)) == ([], [event_id])


def test_a_list_shows_events_as_each_of_them_is_shown_but_for_its_contents(api: Api) -> None:
    event_id = api.id()
    (listed,) = api.list()["events"]
    shown = api.show(event_id)
    assert listed == {name: value for name, value in shown.items() if name in listed}
    assert shown.keys() - listed.keys() >= {"payload", "result", "error", "attempts"}


def test_pages_miss_and_repeat_nothing_while_events_come_in(api: Api) -> None:
    before = [api.id(number) for number in range(7)]
    seen: list[str] = []
    page = api.list(limit=3)
    while True:
        seen += [found["id"] for found in page["events"]]
        api.id("meanwhile")
        if page["next_cursor"] is None:
            break
        page = api.list(limit=3, cursor=page["next_cursor"])
    assert seen == before[::-1]


def test_a_last_page_that_is_full_has_no_next_one(api: Api) -> None:
    for number in range(3):
        api.id(number)
    assert api.list(limit=3)["next_cursor"] is None
    assert api.list(limit=2)["next_cursor"] == api.list(limit=2)["events"][-1]["id"]
    assert api.list(limit=500, state="dead")["events"] == []


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=501", "limit=x", "limit=", "limit=99999999999999999999", "state=unknown",
     "state=PENDING", "type=Upper", "type=", f"type={'x' * 101}", "type=%00", "producer=", "producer=a%00b",
     f"producer={'x' * 101}", "since=yesterday", "since=2026-01-01", "since=2026-01-01T00:00:00",
     "until=2026-02-29T00:00:00Z", "until=10000-01-01T00:00:00Z", "cursor=abc", "cursor=-1", "cursor=%27--",
     "cursor=", "page=2", "sort=id", "limit=1&limit=2"],
)  # fmt: skip
def test_a_query_that_cannot_be_answered_names_the_parameter(shared: Api, query: str) -> None:
    found = problem(shared.client.get(f"/v1/events?{query}"), 422)
    assert found["type"] == "/problems/invalid-parameter"
    (fault,) = found["errors"]
    assert fault["parameter"] == query.partition("=")[0]
    assert fault["detail"]


def test_all_bad_parameters_are_named_at_once(shared: Api) -> None:
    found = problem(shared.client.get("/v1/events?limit=x&state=y&type=echo&z=1"), 422)
    assert {fault["parameter"] for fault in found["errors"]} == {"limit", "state", "z"}


# --- types ----------------------------------------------------------------------------------------------------------


def test_the_types_are_listed_with_what_they_ask_for(api: Api) -> None:
    api.ledger.sql("insert into millrace.types (name, paused_at) values ('echo', now())")
    types = {found["name"]: found for found in ok(api.client.get("/v1/types"))["types"]}
    assert list(types) == ["echo", "orders.created", "other"]
    order, echo = types["orders.created"], types["echo"]
    assert (order["doc"], order["queue"], order["paused"]) == ("Takes an order.", "events", False)
    assert order["payload"]["required"] == ["number"]
    assert (echo["queue"], echo["bundle"], echo["attempts"], echo["bulk"]) == ("slow", 7, 2, False)
    assert (echo["payload"], echo["paused"]) == (None, True)


# --- health ---------------------------------------------------------------------------------------------------------


def test_a_door_with_its_ledger_is_ready_before_it_has_met_the_broker(api: Api) -> None:
    assert ok(api.client.get("/healthz")) == {"status": "ok"}
    assert ok(api.client.get("/readyz"))["checks"].items() >= {"ledger": "up", "schema": "ok"}.items()
    api.id()
    api.ledger.until(lambda: ok(api.client.get("/readyz"))["checks"]["broker"] == "up")


def test_a_door_without_a_schema_is_not_ready(empty_database: str) -> None:
    api = Api(empty_database)
    found = problem(api.client.get("/readyz"), 503)
    assert found["checks"].items() >= {"ledger": "up", "schema": "not ready"}.items()
    assert ok(api.client.get("/healthz"))
    api.engine.dispose()


@contextlib.contextmanager
def away(api: Api, server: PostgresServer) -> Iterator[None]:
    """The ledger's database takes no connection meanwhile, and all that there were have ended."""
    name = api.engine.url.database
    server.execute(f"alter database {name} allow_connections false")
    server.execute(f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'")
    yield
    server.execute(f"alter database {name} allow_connections true")


def test_without_the_ledger_every_answer_is_a_503_that_says_when_to_come_again(
    api: Api, postgres: PostgresServer
) -> None:
    event_id = api.id()
    with away(api, postgres):
        assert ok(api.client.get("/healthz"))
        found = problem(api.client.get("/readyz"), 503)
        assert found["checks"].items() >= {"ledger": "down", "schema": "unknown"}.items()
        assert problem(api.post(1), 503)["stored"] in ("no", "unknown")  # The connection has died in its hands.
        assert problem(api.post(1), 503)["stored"] == "no"
        answers = [api.client.get(place) for place in (f"/v1/events/{event_id}", "/v1/events", "/v1/types")]
        for answer in [*answers, api.client.get("/readyz"), api.post(1)]:
            assert problem(answer, 503)
            assert int(answer.headers["Retry-After"]) >= 1
            assert str(api.engine.url.database) not in answer.text
    assert ok(api.client.get("/readyz"))
    api.id()
    assert api.count() == 2


# --- request ids ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", ["r-1", "A.b_c:d-9", "x" * 128])
def test_a_request_id_is_kept_and_stored(shared: Api, given: str) -> None:
    answer = shared.post(1, X_Request_Id=given)
    assert answer.headers["X-Request-Id"] == given
    assert shared.show(json.loads(answer.data)["id"])["request_id"] == given
    refused = shared.client.get("/nope", headers={"X-Request-Id": given})
    assert problem(refused, 404)["instance"] == given


@pytest.mark.parametrize("given", ["", " ", "two words", "x" * 129, "é", "<b>", 'a"b', "a\tb", "%0a"])
def test_a_request_id_that_is_not_sane_is_replaced(shared: Api, given: str) -> None:
    answer = shared.post(1, X_Request_Id=given)
    made = answer.headers["X-Request-Id"]
    assert made != given
    assert re.fullmatch("[0-9a-f]{32}", made)
    assert shared.show(json.loads(answer.data)["id"])["request_id"] == made
    assert shared.post(1).headers["X-Request-Id"] != made


def test_a_request_id_is_in_no_line_after_its_request(shared: Api) -> None:
    shared.post(1, X_Request_Id="r-1")
    line = lines.Json("web", masking.Mask()).format(logging.makeLogRecord({"msg": "later"}))
    assert "request_id" not in json.loads(line)


# --- sessions of views ----------------------------------------------------------------------------------------------


def use_session(then: str) -> Any:
    """A view of an app that writes, and then ends in some way."""
    session = face.session()
    session.execute(sqlalchemy.text("update account set balance = balance + 1"))
    if then == "commit":
        session.commit()
    if then == "abort":
        flask.abort(409)
    if then == "fail":
        raise RuntimeError("in a view")
    if then == "break":
        session.execute(sqlalchemy.text("select 1 / 0"))
    if then == "again":
        session.commit()
        session.execute(sqlalchemy.text("update account set balance = balance + 100"))
    return "done"


@pytest.mark.parametrize(
    ("then", "status", "balance"),
    [("commit", 200, 1), ("return", 200, 0), ("abort", 409, 0), ("fail", 500, 0), ("break", 500, 0), ("again", 200, 1)],
)
def test_a_session_is_closed_and_what_was_not_committed_is_undone(
    shared: Api, then: str, status: int, balance: int
) -> None:
    for _ in range(shared.engine.size + 1):  # One more than there are connections.
        shared.ledger.sql("update account set balance = 0")
        assert shared.client.get(f"/use/{then}").status_code == status
        shared.assert_at_rest()
        assert shared.ledger.balance() == balance


# --- over a real server ---------------------------------------------------------------------------------------------


@pytest.fixture
def make_road(tmp_path: pathlib.Path) -> Iterator[Callable[[str], Road]]:
    """Makes a road without a broker, for a door."""
    made: list[Road] = []

    def make(database: str) -> Road:
        made.append(Road(database, AWAY, tmp_path, log_format="json", log_level="info"))
        return made[-1]

    yield make
    for road in made:
        road.stop()


def ask(door: Door, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, dict[str, Any]]:
    """A request as any client may send it: a body of unknown length is chunked."""
    connection = http.client.HTTPConnection(door.address, timeout=TIMEOUT)
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        connection.request(method, path, body, {"Content-Type": "application/json"} | given)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def ask_until_taken(door: Door, type_name: str, body: str, **headers: str) -> dict[str, Any]:
    """A post as a patient client sends it: again, with its key, while the door is too busy."""
    found: dict[str, Any] = {}

    def taken() -> bool:
        status, document = ask(door, "POST", f"/v1/events/{type_name}", body, **headers)
        assert status in (202, 503)
        found.update(document)
        return status == 202

    wait(taken, 20, "the post is taken", step=0.5)
    return found


def test_two_processes_take_fifty_twins_and_chunked_bodies(database: str, make_road: Callable[[str], Road]) -> None:
    door = make_road(database).web(web_processes="2")
    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        posts = [pool.submit(ask_until_taken, door, "ledger.step", "{}", Idempotency_Key="t") for _ in range(50)]
    assert len({post.result()["id"] for post in posts}) == 1

    chunks = [b'{"seco', b'nds": 0', b".5}"]
    status, document = ask(door, "POST", "/v1/events/ledger.step", iter(chunks))
    assert status == 202
    assert ask(door, "GET", document["links"]["self"])[1]["payload"] == {"seconds": 0.5}
    status, document = ask(door, "POST", "/v1/events/ledger.step", iter([*chunks, *[b" " * 65_536] * 5]))
    assert (status, document["status"]) == (413, 413)


def test_the_request_id_stands_in_each_log_line_of_the_request(make_road: Callable[[str], Road]) -> None:
    door = make_road("postgresql://nobody:nothing@127.0.0.1:1/nowhere").web()
    status, document = ask(door, "GET", f"/v1/events/{uuid.uuid4()}", X_Request_Id="r-of-the-client")
    assert (status, document["instance"]) == (503, "r-of-the-client")
    written = [json.loads(line) for line in door.process.text().splitlines()]
    (line,) = [line for line in written if line["action"] == "request.unavailable"]
    assert line["request_id"] == "r-of-the-client"
