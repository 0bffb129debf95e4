"""Cancel: what waits ends at once, what is being worked does not, and each event ends once."""

from __future__ import annotations

import concurrent.futures
import threading
from typing import Any

import psycopg2
import pytest
from flask.testing import FlaskClient

from service.domain.ticket import Delivery
from service.ledger import cancel
from tests.answers import document, problem
from tests.integration.operations.desk import dead
from tests.ledgers import Ledger
from workers import Retry

pytestmark = pytest.mark.postgres

NOBODY = "00000000-0000-7000-8000-000000000000"


def again_in_a_minute(payload: Any, ctx: Any) -> None:
    raise Retry(after="1m")


def hold(ledger: Ledger, event_id: str) -> psycopg2.extensions.connection:
    """A worker's lock on an event, until it is closed."""
    connection = psycopg2.connect(ledger.url)
    connection.cursor().execute(
        "select from millrace.events where id = %s and state = 'pending' for no key update", (event_id,)
    )
    return connection


def test_a_pending_event_is_cancelled_at_once_with_its_ticket(ledger: Ledger, client: FlaskClient) -> None:
    [event_id] = ledger.post("a.one", 1)
    assert document(client.post(f"/v1/events/{event_id}/cancel"))["state"] == "cancelled"
    assert ledger.tickets() == []
    found = document(client.get(f"/v1/events/{event_id}"))
    assert (found["state"], found["finished_at"] is None) == ("cancelled", False)
    assert ledger.sql("select type, n from millrace.tallies where word = 'cancelled'") == [("a.one", 1)]


def test_a_bundle_goes_on_without_the_cancelled_one(ledger: Ledger, client: FlaskClient) -> None:
    first, second, third = sorted(ledger.post("a.many", 1, 2, 3))
    [message] = ledger.tickets()
    document(client.post(f"/v1/events/{second}/cancel"))
    assert [t.event_ids for t in ledger.tickets()] == [(first, third)]
    ledger.check()
    ledger.executor.execute(message)  # It was on its way before, and names all three.
    assert (ledger.balance(), ledger.states()) == (2, {"succeeded": 2, "cancelled": 1})
    assert ledger.tickets() == []


def test_the_last_of_a_bundle_takes_the_ticket_along(ledger: Ledger, client: FlaskClient) -> None:
    for event_id in ledger.post("a.many", 1, 2, 3):
        assert len(ledger.tickets()) == 1
        document(client.post(f"/v1/events/{event_id}/cancel"))
        ledger.check()
    assert ledger.tickets() == []


def test_a_retry_that_waits_can_be_cancelled(ledger: Ledger, client: FlaskClient) -> None:
    ledger.handler("a.again", again_in_a_minute, attempts=5)
    [event_id] = ledger.post("a.again", 1)
    ledger.work()
    assert document(client.get(f"/v1/events/{event_id}"))["reason"] == "retrying"
    document(client.post(f"/v1/events/{event_id}/cancel"))
    assert (ledger.states(), ledger.tickets()) == ({"cancelled": 1}, [])


def test_what_a_worker_holds_is_not_cancelled(ledger: Ledger, client: FlaskClient) -> None:
    [event_id] = ledger.post("a.one", 1)
    worker = hold(ledger, event_id)
    found = problem(client.post(f"/v1/events/{event_id}/cancel"), 409)
    assert (found["type"], "being worked" in found["detail"]) == ("/problems/being-worked", True)
    worker.rollback()  # A connection that is only closed lets go a little later.
    worker.close()
    document(client.post(f"/v1/events/{event_id}/cancel"))


def test_what_has_ended_is_not_cancelled_and_it_is_told_how_it_ended(ledger: Ledger, client: FlaskClient) -> None:
    [event_id] = ledger.post("a.one", 1)
    ledger.work()
    [letter] = dead(ledger, "a.fails", 1)
    assert problem(client.post(f"/v1/events/{event_id}/cancel"), 409)["state"] == "succeeded"
    assert problem(client.post(f"/v1/events/{letter}/cancel"), 409)["state"] == "dead"
    assert ledger.states() == {"succeeded": 1, "dead": 1}


@pytest.mark.parametrize("verb", ["cancel", "replay"])
@pytest.mark.parametrize("event_id", [NOBODY, "no-id"])
def test_an_unknown_event_is_not_found(client: FlaskClient, event_id: str, verb: str) -> None:
    problem(client.post(f"/v1/events/{event_id}/{verb}"), 404)


def test_a_running_one_is_asked_to_stop(ledger: Ledger, client: FlaskClient) -> None:
    [event_id] = ledger.post("a.one", 1)
    ledger.sql("update millrace.events set state = 'running', lease_until = now() + interval '1 min'")
    assert document(client.post(f"/v1/events/{event_id}/cancel"), 202)["state"] == "running"
    [(asked,)] = ledger.sql("select cancel_at from millrace.events")
    assert asked is not None
    document(client.post(f"/v1/events/{event_id}/cancel"), 202)
    assert ledger.sql("select state, cancel_at from millrace.events") == [("running", asked)]  # Asked once.
    assert len(ledger.tickets()) == 1


@pytest.mark.usefixtures("patience_for_locks")
def test_a_running_one_whose_lease_is_being_renewed_is_asked_all_the_same(ledger: Ledger, client: FlaskClient) -> None:
    [event_id] = ledger.post("a.one", 1)
    ledger.sql("update millrace.events set state = 'running'")
    renewal = psycopg2.connect(ledger.url)
    renewal.cursor().execute("update millrace.events set lease_until = now() where id = %s", (event_id,))
    timer = threading.Timer(0.3, renewal.commit)
    timer.start()
    assert document(client.post(f"/v1/events/{event_id}/cancel"), 202)["state"] == "running"
    timer.join()
    renewal.close()


def test_many_are_cancelled_by_filter_but_those_that_are_being_worked(ledger: Ledger, client: FlaskClient) -> None:
    ids = ledger.post("a.many", *range(25))
    ledger.post("a.one", 1)
    worker = hold(ledger, ids[3])
    counted = document(client.post("/v1/cancel?type=a.many&dry_run=1"))
    assert counted == {"dry_run": True, "count": 25, "types": {"a.many": 25}}
    assert ledger.states() == {"pending": 26}
    assert document(client.post("/v1/cancel?type=a.many")) == {
        "dry_run": False, "cancelled": 24, "stopping": 0, "left": 1,
    }  # fmt: skip
    assert sorted(t.event_ids for t in ledger.tickets() if t.type == "a.many") == [(ids[3],)]
    ledger.check()
    worker.rollback()
    worker.close()
    assert document(client.post("/v1/cancel?state=pending"))["cancelled"] == 2
    assert ledger.tickets() == []


def test_the_limit_of_a_cancel_is_kept(ledger: Ledger, client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cancel, "TICKETS", 2)  # Several commits.
    ledger.post("a.many", *range(95))
    assert document(client.post("/v1/cancel?type=a.many&limit=57")) == {
        "dry_run": False, "cancelled": 57, "stopping": 0, "left": 38,
    }  # fmt: skip
    ledger.check()
    ledger.work()
    assert (ledger.balance(), ledger.tickets()) == (38, [])


def test_a_cancel_without_a_filter_is_refused(ledger: Ledger, client: FlaskClient) -> None:
    ledger.post("a.one", 1)
    problem(client.post("/v1/cancel"), 422)
    assert problem(client.post("/v1/cancel?state=dead"), 422)["errors"][0]["parameter"] == "state"
    assert ledger.states() == {"pending": 1}


def test_cancel_and_claim_at_once_give_one_outcome_each(ledger: Ledger, client: FlaskClient) -> None:
    """Bundles are worked while their events are cancelled, singly and by filter; what was cancelled had no effect."""
    ledger.post("a.many", *range(300))
    tickets = ledger.tickets()

    def work(delivery: Delivery) -> None:
        ledger.executor.execute(delivery)

    def withdraw(delivery: Delivery) -> int:
        """One event of each bundle, in the moment when another thread works it."""
        place = f"/v1/events/{delivery.event_ids[-1]}/cancel"
        return client.application.test_client().post(place).status_code

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        told: list[concurrent.futures.Future[int]] = []
        works: list[concurrent.futures.Future[None]] = []
        for number, delivery in enumerate(tickets):
            if number % 2:
                told.append(pool.submit(withdraw, delivery))
            works.append(pool.submit(work, delivery))
            if not number % 2:
                told.append(pool.submit(withdraw, delivery))
        late = pool.submit(client.application.test_client().post, "/v1/cancel?type=a.many&limit=20")
        by_filter = document(late.result())["cancelled"]
        codes = [t.result() for t in told]
        assert [w.result() for w in works] == [None] * len(tickets)
    assert {200, 409} >= set(codes)
    ledger.check()
    cancelled = ledger.states()["cancelled"]
    assert cancelled == codes.count(200) + by_filter
    # What was locked elsewhere at the claim has kept its ticket; what a slow machine cuts off a bundle has a new one.
    ledger.until(lambda: not ledger.work(), 20)
    assert ledger.states() == {"succeeded": 300 - cancelled, "cancelled": cancelled}
    assert ledger.balance() == 300 - cancelled


@pytest.mark.usefixtures("patience_for_locks")
def test_two_who_cancel_the_last_two_of_a_ticket_leave_no_ticket(ledger: Ledger, client: FlaskClient) -> None:
    for _ in range(10):
        pair = ledger.post("a.many", 1, 2)
        meet = threading.Barrier(2)

        def withdraw(event_id: str, meet: threading.Barrier = meet) -> int:
            own = client.application.test_client()
            meet.wait()
            return own.post(f"/v1/events/{event_id}/cancel").status_code

        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            assert list(pool.map(withdraw, pair)) == [200, 200]
        assert ledger.tickets() == []
