"""Repeats: one event by its key, or by the id and the source of a CloudEvent."""

from __future__ import annotations

import concurrent.futures
import json
from typing import Any

import psycopg2
import pytest
from flask.testing import FlaskClient

from service.application import accept
from service.application.publish import Publisher
from service.domain import errors, event
from service.ledger import engine as engines
from service.ledger.intake import IntakeLedger
from tests.answers import document
from tests.integration.door.posts import CLOUDEVENT, post
from tests.ledgers import Ledger
from tests.patience import PATIENCE

pytestmark = pytest.mark.postgres

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


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
        Publisher(lambda: ledger.broker), ledger.registry, deadline=30.0 * PATIENCE, head_start=2.0,
    )  # fmt: skip
    mine = accept.Intake(
        IntakeLedger(engines.Engine(ledger.url), patience=300.0, window=20_000),
        ledger.publisher, ledger.registry, deadline=30.0 * PATIENCE, head_start=2.0,
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
        assert forth.result(60 * PATIENCE) == back.result(60 * PATIENCE)
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
        found = [type(w.exception(10 * PATIENCE)) for w in waiting]
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
