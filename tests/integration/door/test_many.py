"""Many events in one request: each with its own outcome, or all or nothing."""

from __future__ import annotations

import itertools
import json
import time
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from service.application import accept
from service.application.publish import Publisher
from service.application.submission import Accepted
from service.domain import errors, event
from service.ledger import engine as engines
from service.ledger.intake import IntakeLedger
from tests.answers import document
from tests.front import Front
from tests.integration.door.posts import CLOUDEVENT
from tests.ledgers import Ledger
from tests.patience import PATIENCE

pytestmark = pytest.mark.postgres

NDJSON = "application/x-ndjson"


def bulk(client: FlaskClient, *items: Any, query: str = "") -> TestResponse:
    lines = "\n".join(i if isinstance(i, str) else json.dumps(i) for i in items)
    return client.post(f"/v1/events{query}", data=lines, content_type=NDJSON)


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
    client = Front(ledger, accept_deadline=60.0 * PATIENCE).client()  # The machine may be busy.
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
        deadline=10.0 * PATIENCE,
        head_start=2.0,
    )
    client = Front(away).client()
    answer = bulk(client, {"type": "a.b", "payload": 1}, {"type": "a.b", "payload": 2})
    assert document(answer, 503)["stored"] == "no"
    assert int(answer.headers["Retry-After"]) >= 1
    answer = bulk(client, {"type": "a.b", "payload": 1}, {"type": "a.c", "payload": 2})
    assert [i["status"] for i in document(answer, 207)["items"]] == [503, 404]
    assert int(answer.headers["Retry-After"]) >= 1


def test_each_event_of_a_large_submission_has_its_own_outcome(ledger: Ledger) -> None:
    new = [event.NewEvent(type="a.b", payload='"\\u0000"' if n % 100 == 7 else "1") for n in range(600)]
    found = ledger.intake.submit_each(new, 30.0)
    kinds = [type(f) for f in found]
    assert kinds == [errors.InvalidEvent if n % 100 == 7 else Accepted for n in range(600)]
    assert [k for k, _ in itertools.groupby(ledger.intake.submit_each(new, 0.0), key=type)] == [accept.NotStored]
    ledger.check()
