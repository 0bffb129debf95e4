"""Events for later, and events that expire."""

from __future__ import annotations

import datetime

import pytest
from flask.testing import FlaskClient

from tests.answers import document
from tests.integration.door.posts import post
from tests.ledgers import Ledger
from tests.patience import PATIENCE

pytestmark = pytest.mark.postgres

YEAR = datetime.timedelta(days=365)


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


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
    assert abs(seconds - 3600.5) < 0.5 + 2 * (PATIENCE - 1)
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


def in_seconds(seconds: float) -> str:
    """The query of an event that expires then."""
    return f"?expires_at={(now() + datetime.timedelta(seconds=seconds)).isoformat()}".replace("+00:00", "Z")


def test_an_expired_event_is_never_worked(ledger: Ledger, client: FlaskClient) -> None:
    found = document(post(client, in_seconds(600)), 202)
    ledger.sql("update millrace.events set expires_at = now() - interval '1 s'")
    ledger.work()
    assert document(client.get(found["links"]["self"]), 200)["state"] == "expired"
    ledger.check()


def test_a_repeat_has_its_answer_even_when_its_time_is_over(ledger: Ledger, client: FlaskClient) -> None:
    query = in_seconds(2 * PATIENCE)
    first = document(post(client, query, Idempotency_Key='"k"'), 202)
    ledger.until(lambda: ledger.sql("select expires_at < now() from millrace.events") == [(True,)])
    assert document(post(client, query, Idempotency_Key='"k"'), 202) == first
