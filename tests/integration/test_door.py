"""The door's standards on a real ledger: delays, keys, many events at once, waiting for outcomes, shedding."""

from __future__ import annotations

import concurrent.futures
import datetime
import http.client
import itertools
import json
import os
import pathlib
import signal
import threading
import time
from typing import Any

import psycopg2
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from service.application import accept
from service.application.publish import Publisher
from service.application.submission import Accepted
from service.domain import errors, event
from service.ledger import engine as engines
from service.ledger.intake import IntakeLedger
from service.web import gate
from tests.front import Front, worked
from tests.ledgers import Ledger
from tests.patience import wait, within
from tests.road import Road

pytestmark = pytest.mark.postgres

NDJSON = "application/x-ndjson"
CLOUDEVENT = "application/cloudevents+json"
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
YEAR = datetime.timedelta(days=365)


@pytest.fixture
def ledger(database: str) -> Ledger:
    ledger = Ledger(database)
    ledger.handler("a.b", lambda payload, ctx: payload, bundle=10)
    ledger.handler("a.int", lambda payload, ctx: None, parse=_an_integer)
    return ledger


def _an_integer(payload: Any) -> int:
    if not isinstance(payload, int):
        raise errors.InvalidEvent([errors.Fault("", "an integer is wanted")])
    return payload


@pytest.fixture
def client(ledger: Ledger) -> FlaskClient:
    return Front(ledger).client()


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def document(answer: TestResponse, status: int) -> Any:
    assert answer.status_code == status, answer.text
    return json.loads(answer.data)


def post(client: FlaskClient, query: str = "", payload: Any = 1, **headers: str) -> TestResponse:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post(f"/v1/events/a.b{query}", json=payload, headers=named)


def bulk(client: FlaskClient, *items: Any, query: str = "") -> TestResponse:
    lines = "\n".join(i if isinstance(i, str) else json.dumps(i) for i in items)
    return client.post(f"/v1/events{query}", data=lines, content_type=NDJSON)


# --- delayed and expiring events ------------------------------------------------------------------------------------


def test_an_event_for_later_waits_in_the_ledger_however_far_ahead(ledger: Ledger, client: FlaskClient) -> None:
    later = (now() + 50 * YEAR).replace(microsecond=0)
    found = document(post(client, f"?run_at={later.isoformat()}"), 202)
    shown = document(client.get(found["links"]["self"]), 200)
    assert (shown["state"], shown["reason"]) == ("pending", "scheduled")
    assert datetime.datetime.fromisoformat(shown["run_at"]) == later
    assert ledger.sql("select due_at = %s from millrace.tickets", later) == [(True,)]
    assert not ledger.broker.published
    ledger.check()


def test_a_delay_is_counted_from_the_acceptance_by_the_ledgers_clock(ledger: Ledger, client: FlaskClient) -> None:
    document(post(client, "?delay=3600.5"), 202)
    [(seconds, same)] = ledger.sql(
        "select extract(epoch from run_at - accepted_at)::float8, due_at = run_at"
        " from millrace.events e join millrace.tickets t on t.id = e.ticket_id"
    )
    assert abs(seconds - 3600.5) < 0.5
    assert same


@pytest.mark.parametrize("query", ["?run_at=1999-12-31T23:59:59%2B14:00", "?run_at=0001-01-02T00:00:00Z", "?delay=0"])
def test_what_was_due_before_is_due_now(ledger: Ledger, client: FlaskClient, query: str) -> None:
    document(post(client, query), 202)
    ledger.until(lambda: len(ledger.broker.published) == 1 or query.endswith("delay=0"))
    assert ledger.sql("select due_at <= clock_timestamp() + interval '5 min' from millrace.tickets") == [(True,)]


def test_an_event_that_expires_before_it_may_be_worked_is_refused(ledger: Ledger, client: FlaskClient) -> None:
    soon, later = (now() + YEAR).strftime("%FT%TZ"), (now() + 2 * YEAR).strftime("%FT%TZ")
    for query in (f"?run_at={later}&expires_at={soon}", f"?expires_at={soon}&delay={3 * 365 * 86400}",
                  f"?run_at={soon}&expires_at={soon}", "?expires_at=2001-01-01T00:00:00Z"):  # fmt: skip
        assert document(post(client, query), 422)["type"] == "/problems/expires-too-soon"
    document(post(client, f"?run_at={soon}&expires_at={later}"), 202)
    assert ledger.states() == {"pending": 1}
    ledger.check()


def test_an_expired_event_is_never_worked(ledger: Ledger, client: FlaskClient) -> None:
    found = document(
        post(client, f"?expires_at={(now() + datetime.timedelta(seconds=1)).isoformat()}".replace("+00:00", "Z")), 202
    )
    ledger.until(lambda: ledger.sql("select expires_at < now() from millrace.events") == [(True,)])
    ledger.work()
    assert document(client.get(found["links"]["self"]), 200)["state"] == "expired"
    ledger.check()


def test_a_repeat_has_its_answer_even_when_its_time_is_over(ledger: Ledger, client: FlaskClient) -> None:
    query = f"?expires_at={(now() + datetime.timedelta(seconds=1)).isoformat()}".replace("+00:00", "Z")
    first = document(post(client, query, Idempotency_Key='"k"'), 202)
    ledger.until(lambda: ledger.sql("select expires_at < now() from millrace.events") == [(True,)])
    assert document(post(client, query, Idempotency_Key='"k"'), 202) == first


# --- idempotency ----------------------------------------------------------------------------------------------------


@pytest.mark.fault(33)
def test_the_same_key_is_the_same_event_and_another_body_or_time_is_a_422(client: FlaskClient) -> None:
    first = document(post(client, payload={"a": 1, "b": 2}, Idempotency_Key='"k"'), 202)
    assert document(post(client, payload={"b": 2, "a": 1}, Idempotency_Key='"k"'), 202) == first
    assert document(post(client, payload={"a": 1}, Idempotency_Key="k"), 422)["type"] == "/problems/key-reused"
    document(post(client, "?delay=60", payload={"a": 1, "b": 2}, Idempotency_Key='"k"'), 422)


def test_a_key_belongs_to_the_producer_that_is_named_and_not_to_a_library(client: FlaskClient) -> None:
    """Two services with one HTTP library share their User-Agent; only X-Producer keeps their keys apart."""
    names = ({"X_Producer": "shop"}, {"X_Producer": "stock"}, {"User_Agent": "curl/8"}, {"User_Agent": "httpx/1"})
    found = [document(post(client, Idempotency_Key='"k"', **name), 202)["id"] for name in names]
    assert found[2] == found[3]
    assert len(set(found)) == 3


@pytest.mark.fault(32)
def test_overlapping_keys_in_two_processes_never_deadlock(ledger: Ledger) -> None:
    """Each brings the same keys in another order; PostgreSQL counts the deadlocks that it has to break."""
    other = accept.Intake(
        IntakeLedger(engines.Engine(ledger.url), patience=300.0, window=20_000),
        Publisher(lambda: ledger.broker), ledger.registry, deadline=30.0, head_start=2.0,
    )  # fmt: skip
    mine = accept.Intake(
        IntakeLedger(engines.Engine(ledger.url), patience=300.0, window=20_000),
        ledger.publisher, ledger.registry, deadline=30.0, head_start=2.0,
    )  # fmt: skip

    def post_keys(intake: accept.Intake, *keys: str) -> list[str]:
        new = [event.NewEvent(type="a.b", payload="1", key=k, fingerprint="f", scope="s") for k in keys]
        return sorted(a.id for a in intake.submit(new))

    # A third one has the key in the middle, so that each of the two stands in the midst of its own when it is let go.
    third = psycopg2.connect(ledger.url)
    third.cursor().execute("insert into millrace.idempotency_keys values ('s', 'm', 'f', gen_random_uuid())")
    blocked = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        forth, back = pool.submit(post_keys, mine, "a", "m", "z"), pool.submit(post_keys, other, "z", "m", "a")
        ledger.until(lambda: ledger.sql(blocked) == [(2,)], within=20)
        third.rollback()
        assert forth.result(60) == back.result(60)
    assert ledger.states() == {"pending": 3}
    # The server gives its statistics out when a session ends, and not before.
    mine._ledger.drop()  # type: ignore[attr-defined]
    other._ledger.drop()  # type: ignore[attr-defined]
    assert ledger.sql("select deadlocks from pg_stat_database where datname = current_database()") == [(0,)]
    ledger.check()


def test_who_met_a_key_of_one_that_was_turned_away_may_have_it(ledger: Ledger) -> None:
    """All in one flush: the first is refused for its second event, so its first key was never used."""

    def new(key: str, payload: str) -> event.NewEvent:
        return event.NewEvent(type="a.b", payload=payload, key=key, fingerprint=payload, scope="s")

    ledger.intake.submit([new("taken", "1")])
    lock = psycopg2.connect(ledger.url)
    lock.cursor().execute("lock table millrace.events in access exclusive mode")
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        pool.submit(ledger.intake.submit, [new("other", "0")])
        ledger.until(
            lambda: bool(
                ledger.sql("select 1 from pg_locks where not granted and relation = 'millrace.events'::regclass")
            )
        )
        waiting = []
        for count, events in enumerate(
            ([new("free", "1"), new("taken", "2")], [new("free", "2")], [new("free", "3")]), 1
        ):
            waiting.append(pool.submit(ledger.intake.submit, events))
            ledger.until(lambda count=count: len(ledger.intake._waiting) == count)  # type: ignore[misc]
        lock.close()
        found = [type(w.exception(10)) for w in waiting]
    assert found == [errors.KeyReused, type(None), errors.KeyReused]
    ledger.check()


@pytest.mark.fault(32)
def test_a_cloudevent_that_comes_again_is_the_same_event(ledger: Ledger, client: FlaskClient) -> None:
    sent = {"specversion": "1.0", "id": "1", "source": "/s", "type": "a.b", "data": {"n": 1}, "partitionkey": "7"}
    first = document(client.post("/v1/events", data=json.dumps(sent), content_type=CLOUDEVENT), 202)
    again = client.post(
        "/v1/events", json={"n": 1},
        headers={"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/s", "ce-type": "a.b", "ce-hops": "2"},
    )  # fmt: skip
    assert document(again, 202) == first
    document(client.post("/v1/events", data=json.dumps(sent | {"data": 2}), content_type=CLOUDEVENT), 422)
    shown = document(client.get(first["links"]["self"]), 200)
    assert shown["attributes"] == {"id": "1", "source": "/s", "partitionkey": "7"}


def test_a_handler_sees_the_trace_and_the_attributes(ledger: Ledger, client: FlaskClient) -> None:
    seen: list[Any] = []
    ledger.handler("a.look", lambda payload, ctx: seen.append((ctx.event.traceparent, ctx.event.attributes)))
    client.post("/v1/events/a.look", json=1, headers={"traceparent": TRACE})
    sent = {"specversion": "1.0", "id": "1", "source": "/s", "type": "a.look", "subject": "ü", "traceparent": TRACE}
    client.post("/v1/events", data=json.dumps(sent), content_type=CLOUDEVENT)
    ledger.work()
    assert seen == [(TRACE, None), (TRACE, {"id": "1", "source": "/s", "subject": "ü"})]


# --- many events at once --------------------------------------------------------------------------------------------


def test_some_bad_ones_among_a_thousand_do_not_sink_the_rest(ledger: Ledger, client: FlaskClient) -> None:
    bad = {
        13: ('{"type": "a.b", "payload": NaN}', 400, ""),
        200: ({"type": "a.c", "payload": 1}, 404, None),
        333: ({"type": "a.int", "payload": "x"}, 422, "/payload"),
        334: ({"type": "a.b"}, 422, "/payload"),
        335: ({"type": "a.b", "payload": 1, "run_at": "soon"}, 422, "/run_at"),
        336: ({"type": "a.b", "payload": 1, "typo": 1}, 422, "/typo"),
        337: ({"type": "a.b", "payload": 1, "expires_at": "2001-01-01T00:00:00Z"}, 422, None),
        338: ({"type": "a.b", "payload": 1, "key": ""}, 422, "/key"),
        339: ("[1]", 422, ""),
        340: ({"type": 7, "payload": 1}, 422, "/type"),
        500: ({"type": "a.b", "payload": 2, "key": "k"}, 422, None),
        777: ({"type": "a.b", "payload": "x" * 300_000}, 413, None),
        999: ('{"type": "a.b", "payload": {"a": 1, "a": 2}}', 400, "/payload/a"),
    }  # fmt: skip
    items: list[Any] = [{"type": "a.b", "payload": n} for n in range(1000)]
    items[0] |= {"key": "k"}
    for number, (item, _, _) in bad.items():
        items[number] = item
    found = document(bulk(client, *items), 207)
    assert (found["accepted"], found["refused"]) == (1000 - len(bad), len(bad))
    assert [i["index"] for i in found["items"]] == list(range(1000))
    for item in found["items"]:
        _, status, pointer = bad.get(item["index"], (None, 202, None))
        assert item["status"] == status, item
        if status != 202:
            assert item["problem"]["status"] == status
            assert [f["pointer"] for f in item["problem"].get("errors", [])] == ([] if pointer is None else [pointer])
    stored = {row[0] for row in ledger.sql("select id::text from millrace.events")}
    assert stored == {i["id"] for i in found["items"] if i["status"] == 202}
    ledger.check()


def test_all_or_nothing_if_it_is_asked_for(ledger: Ledger, client: FlaskClient) -> None:
    good = {"type": "a.b", "payload": 1}
    document(bulk(client, good | {"key": "k"}), 202)
    for bad, status in (({"type": "a.c", "payload": 1}, 404), (good | {"payload": 2, "key": "k"}, 422),
                        (good | {"expires_at": "2001-01-01T00:00:00Z"}, 422)):  # fmt: skip
        found = document(bulk(client, good, good, bad, good, query="?atomic=1"), 422)
        assert found["type"] == "/problems/none-stored"
        assert [(i["index"], i["status"]) for i in found["items"]] == [(2, status)]
    assert ledger.states() == {"pending": 1}
    found = document(bulk(client, *[good] * 700, query="?atomic=1"), 202)
    assert found["accepted"] == 700
    assert ledger.sql("select count(distinct xmin::text) from millrace.events") == [(2,)]
    ledger.check()


def test_twins_in_one_request_are_one_event_and_each_item_has_its_times(ledger: Ledger, client: FlaskClient) -> None:
    twin = {"type": "a.b", "payload": 1, "key": "k", "delay": 60}
    for query in ("", "?atomic=1"):
        found = document(bulk(client, twin, twin, "", twin | {"key": f"j{query}", "delay": 90.5}, query=query), 202)
        first, second, third = (i["id"] for i in found["items"])
        assert first == second != third
    assert len(ledger.sql("select 1 from millrace.events where run_at > now() + interval '50 s'")) == 3
    assert document(bulk(client, twin | {"delay": 61}), 207)["items"][0]["status"] == 422


def test_ten_thousand_are_taken_and_one_more_is_not(ledger: Ledger) -> None:
    client = Front(ledger, accept_deadline=60.0).client()  # The machine may be busy.
    lines = ['{"type":"a.b","payload":1}'] * 10_001
    began = time.monotonic()
    assert document(bulk(client, *lines[1:]), 202)["accepted"] == 10_000
    print(f"10,000 events in one request: {time.monotonic() - began:.2f} s")  # noqa: T201
    document(bulk(client, *lines), 413)
    ledger.check()


@pytest.mark.fault(31)
def test_a_bulk_body_has_a_limit_of_its_own(ledger: Ledger) -> None:
    client = Front(ledger, max_body=1024, max_bulk=2048).client()
    line = {"type": "a.b", "payload": "x" * 900}
    document(bulk(client, line, line), 202)
    document(bulk(client, line, line, line), 413)
    document(client.post("/v1/events/a.b", json="x" * 1025), 413)
    document(client.post("/v1/events", data=json.dumps({"x": "x" * 1500}), content_type=CLOUDEVENT), 413)


def test_what_makes_no_sense_of_many_events_is_refused(client: FlaskClient) -> None:
    good = {"type": "a.b", "payload": 1}
    document(bulk(client), 400)
    document(bulk(client, "", " "), 400)
    document(bulk(client, good, query="?atomic=maybe"), 422)
    document(bulk(client, good, query="?delay=5"), 422)
    answer = client.post("/v1/events", data=json.dumps(good), content_type=NDJSON, headers={"Idempotency-Key": "k"})
    assert "member" in document(answer, 400)["detail"]


def test_many_events_without_a_ledger_are_a_503_that_says_whether_they_are_stored(postgres: Any) -> None:
    away = Ledger.__new__(Ledger)
    away.url = "postgresql://nobody@127.0.0.1:9/none"
    away.engine = engines.Engine(away.url)
    from service.domain import handlers

    away.registry = handlers.Registry()
    away.handler("a.b", print)
    away.publisher = Publisher(lambda: (_ for _ in ()).throw(AssertionError))
    away.intake = accept.Intake(
        IntakeLedger(away.engine, patience=300.0, window=10),
        away.publisher,
        away.registry,
        deadline=2.0,
        head_start=2.0,
    )
    client = Front(away).client()
    answer = bulk(client, {"type": "a.b", "payload": 1}, {"type": "a.b", "payload": 2})
    assert document(answer, 503)["stored"] == "no"
    assert int(answer.headers["Retry-After"]) >= 1
    answer = bulk(client, {"type": "a.b", "payload": 1}, {"type": "a.c", "payload": 2})
    assert [i["status"] for i in document(answer, 207)["items"]] == [503, 404]
    assert int(answer.headers["Retry-After"]) >= 1


# --- waiting for the outcome ----------------------------------------------------------------------------------------


def test_the_answer_is_the_outcome_when_the_client_prefers_to_wait(ledger: Ledger, client: FlaskClient) -> None:
    with worked(ledger):
        answer = post(client, payload={"n": 7}, Prefer="wait=20")
    found = document(answer, 200)
    assert (found["state"], found["result"], found["payload"]) == ("succeeded", {"n": 7}, {"n": 7})
    assert answer.headers["Preference-Applied"] == "wait"
    assert answer.headers["Location"] == found["links"]["self"]


def test_after_the_time_the_answer_is_the_plain_202(ledger: Ledger, client: FlaskClient) -> None:
    began = time.monotonic()
    answer = post(client, Prefer="wait=1")
    assert document(answer, 202)["state"] == "pending"
    assert time.monotonic() - began >= 1.0
    assert answer.headers["Preference-Applied"] == "wait"


def test_no_more_than_a_quarter_of_the_threads_wait_and_one_query_looks_for_all(ledger: Ledger) -> None:
    front = Front(ledger, web_threads=16)
    looks: list[list[str]] = []
    ended = front.watch._ledger.ended

    def look(asked: list[str]) -> set[str]:
        looks.append(asked)
        return ended(asked)

    front.watch._ledger.ended = look  # type: ignore[method-assign,assignment]
    app = front.client().application
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        posts = [pool.submit(post, app.test_client(), "", n, Prefer="wait=20") for n in range(12)]
        ledger.until(lambda: sum(p.done() for p in posts) == 8)
        ledger.until(lambda: any(len(asked) == 4 for asked in looks))
        with worked(ledger):
            answers = [p.result(30) for p in posts]
    plain = [a for a in answers if a.status_code == 202]
    assert len(plain) == 8
    assert all("Preference-Applied" not in a.headers for a in plain)
    assert [a.status_code for a in answers].count(200) == 4
    assert sum(t.name == "millrace-watch" and t.is_alive() for t in threading.enumerate()) >= 1


# --- shedding -------------------------------------------------------------------------------------------------------


@pytest.mark.fault(20)
def test_posts_are_refused_before_the_last_thread_waits_for_the_ledger(ledger: Ledger) -> None:
    client = Front(ledger, web_threads=8).client()
    app = client.application
    document(post(client), 202)
    lock = psycopg2.connect(ledger.url)
    lock.cursor().execute("lock table millrace.events in access exclusive mode")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        stuck = [pool.submit(post, app.test_client()) for _ in range(4)]
        time.sleep(gate.PATIENCE + 0.2)  # That they wait for so long is what the gate goes by.
        with within(1.0):
            answers = [pool.submit(post, app.test_client()) for _ in range(4)]
            refusals = [a.result(10) for a in answers]
        for answer in refusals:
            assert document(answer, 503)["stored"] == "no"
            assert int(answer.headers["Retry-After"]) >= 1
        document(client.get("/healthz"), 200)
        lock.close()
        for answer in stuck:
            document(answer.result(10), 202)
    document(post(client), 202)


def test_a_gate_lets_any_number_in_while_they_come_out_again() -> None:
    patience = 0.2
    found = gate.Gate(1, lambda seconds: errors.Overloaded(retry_after=seconds), patience=patience)
    first, inside, stop = threading.Event(), threading.Barrier(3), threading.Event()

    def enter() -> None:
        with found:
            first.set()
            inside.wait(10)
            stop.wait(10)

    threads = [threading.Thread(target=enter) for _ in range(2)]
    for thread in threads:
        thread.start()
    inside.wait(10)  # Both are inside, though there is room for one: nobody has waited for long.
    wait(lambda: _refuses(found), 5, "the gate refuses")
    stop.set()
    for thread in threads:
        thread.join()
    with found:
        pass


def _refuses(found: gate.Gate) -> bool:
    try:
        with found:
            return False
    except errors.Overloaded as error:
        return error.retry_after == 1


def test_the_longer_the_ledger_is_away_the_longer_clients_are_asked_to_wait(ledger: Ledger) -> None:
    ledger.post("a.b", 1)
    intake = ledger.intake
    assert intake._retry_after() == 1
    for seconds, wanted in ((0.1, 1), (4.5, 5), (1000.0, 30)):
        intake._away_since = time.monotonic() - seconds
        assert intake._retry_after() == wanted
    ledger.post("a.b", 2)
    assert intake._retry_after() == 1


def test_each_event_of_a_large_submission_has_its_own_outcome(ledger: Ledger) -> None:
    new = [event.NewEvent(type="a.b", payload='"\\u0000"' if n % 100 == 7 else "1") for n in range(600)]
    found = ledger.intake.submit_each(new, 30.0)
    kinds = [type(f) for f in found]
    assert kinds == [errors.InvalidEvent if n % 100 == 7 else Accepted for n in range(600)]
    assert [k for k, _ in itertools.groupby(ledger.intake.submit_each(new, 0.0), key=type)] == [accept.NotStored]
    ledger.check()


# --- a real process -------------------------------------------------------------------------------------------------


@pytest.mark.fault(40)
def test_a_web_process_that_is_told_to_stop_answers_those_who_wait(database: str, tmp_path: pathlib.Path) -> None:
    """No worker and no broker: nothing ends the event, and the client would wait for half a minute."""
    road = Road(database, "amqp://guest:guest@127.0.0.1:9//", tmp_path)
    try:
        door = road.web()
        host, _, port = door.address.partition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=40)
        connection.request(
            "POST", "/v1/events/ledger.step", "{}", {"Content-Type": "application/json", "Prefer": "wait=30"}
        )
        wait(lambda: road.sql("select 1 from millrace.events") == [(1,)], 10, "the event is stored")
        with within(8):
            os.kill(door.process.pid, signal.SIGTERM)
            response = connection.getresponse()
            assert (response.status, json.loads(response.read())["state"]) == (202, "pending")
            assert door.process.wait_for_end() == 0
    except BaseException:
        print(road.logs())  # noqa: T201
        raise
    finally:
        road.stop()
