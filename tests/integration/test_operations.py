"""What operators do: cancel, pause, replay, discard. After each of it the ledger is in balance."""

from __future__ import annotations

import base64
import concurrent.futures
import pathlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import psycopg2
import pydantic
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from service import bootstrap, doctor, web
from service.domain import outcome
from service.domain.ticket import Delivery
from service.ledger import balance, cancel, release
from service.ledger import engine as engines
from service.ledger.release import ReleaseLedger
from service.ledger.upkeep import Upkeep
from service.settings import Settings
from tests.ledgers import EFFECT, Ledger
from workers import face

pytestmark = pytest.mark.postgres

NOBODY = "00000000-0000-7000-8000-000000000000"


class Order(pydantic.BaseModel):
    number: int


class Road:
    """A door on a ledger, with an operator before it."""

    def __init__(self, ledger: Ledger) -> None:
        self.settings = Settings.model_construct(database_url=ledger.url)
        self.registry, self.intake, self.publisher = ledger.registry, ledger.intake, ledger.publisher
        self.operations = bootstrap.operations(self.settings, engines.Engine(ledger.url, size=8), ledger.registry)
        self.queries = self.operations.queries

    def client(self) -> FlaskClient:
        client = web.create_app(self).test_client()
        client.environ_base["HTTP_X_PRODUCER"] = "night-shift"
        return client


def fail(payload: Any, ctx: Any) -> None:
    raise RuntimeError("no")


def add(payload: Any, ctx: Any) -> None:
    ctx.session.connection().exec_driver_sql(EFFECT)


@pytest.fixture
def ledger(database: str) -> Iterator[Ledger]:
    ledger = Ledger(database)
    ledger.handler("a.one", add, bundle=1)
    ledger.handler("a.many", add, bundle=10)
    ledger.handler("a.slow", add, bundle=1, queue="reports")
    ledger.handler("a.fails", fail, bundle=5, attempts=1)
    ledger.handler("a.order", fail, bundle=5, attempts=1, payload=Order, parse=face.parser(Order))
    yield ledger
    ledger.check()  # Whatever the operator did.


@pytest.fixture
def client(ledger: Ledger) -> FlaskClient:
    return Road(ledger).client()


def problem(answer: TestResponse, status: int) -> dict[str, Any]:
    assert (answer.status_code, answer.content_type) == (status, "application/problem+json"), answer.text
    found: dict[str, Any] = answer.get_json()
    return found


def document(answer: TestResponse, status: int = 200) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    found: dict[str, Any] = answer.get_json()
    return found


def hold(ledger: Ledger, event_id: str) -> psycopg2.extensions.connection:
    """A worker's lock on an event, until it is closed."""
    connection = psycopg2.connect(ledger.url)
    connection.cursor().execute(
        "select from millrace.events where id = %s and state = 'pending' for no key update", (event_id,)
    )
    return connection


def all_out(ledger: Ledger) -> None:
    """Every ticket was published, and that is noted."""
    ledger.until(lambda: not ledger.sql("select 1 from millrace.tickets where published_at is null"))


def due_now(ledger: Ledger) -> None:
    """As when the process that accepted them died before it published."""
    all_out(ledger)
    ledger.sql("update millrace.tickets set due_at = now() - interval '1 s', published_at = null, publishes = 0")


def a_release(ledger: Ledger) -> ReleaseLedger:
    return ReleaseLedger(ledger.engine, patience=300.0, window=20_000, forgetful=False)


def released(ledger: Ledger) -> list[str]:
    return sorted(due.ticket.type for due in a_release(ledger).take_due(256, 10.0))


def dead(ledger: Ledger, type_name: str, *payloads: Any) -> list[str]:
    """Dead letters, made as the road makes them."""
    found = ledger.post(type_name, *payloads)
    ledger.work()
    assert ledger.sql("select count(*) from millrace.dead where event_id = any(%s::uuid[])", found) == [(len(found),)]
    return found


# --- cancel ---------------------------------------------------------------------------------------------------------


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
    ledger.handler("a.again", fail, attempts=5)
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


# --- pause ----------------------------------------------------------------------------------------------------------


def test_a_paused_type_is_not_released_and_says_so(ledger: Ledger, client: FlaskClient) -> None:
    [event_id, *_] = ledger.post("a.one", 1, 2)
    ledger.post("a.many", 1)
    due_now(ledger)
    paused = document(client.post("/v1/types/a.one/pause"))
    assert (paused["paused"], paused["by"]) == (True, "night-shift")
    assert released(ledger) == ["a.many"]
    assert document(client.get(f"/v1/events/{event_id}"))["reason"] == "paused"
    shown = {t["name"]: t for t in document(client.get("/v1/types"))["types"]}
    assert [name for name, t in shown.items() if t["paused"]] == ["a.one"]
    assert shown["a.one"]["pauses"] == [{"kind": "type", "name": "a.one", "at": paused["at"], "by": "night-shift"}]
    assert document(client.post("/v1/types/a.one/resume"))["was_paused"] is True
    assert released(ledger) == ["a.one", "a.one"]
    assert document(client.get(f"/v1/events/{event_id}"))["reason"] == "queued"


def test_a_paused_queue_is_not_released_whatever_the_type(ledger: Ledger, client: FlaskClient) -> None:
    [event_id] = ledger.post("a.slow", 1)
    ledger.post("a.one", 1)
    due_now(ledger)
    document(client.post("/v1/queues/reports/pause"))
    assert released(ledger) == ["a.one"]
    assert document(client.get(f"/v1/events/{event_id}"))["reason"] == "paused"
    shown = {t["name"]: t["paused"] for t in document(client.get("/v1/types"))["types"]}
    assert [name for name, is_paused in shown.items() if is_paused] == ["a.slow"]
    assert [p["name"] for p in document(client.get("/v1/pauses"))["pauses"]] == ["reports"]
    assert document(client.post("/v1/queues/reports/resume"))["was_paused"] is True
    assert document(client.post("/v1/queues/reports/resume"))["was_paused"] is False
    assert released(ledger) == ["a.slow"]


def test_the_first_who_paused_stays_named(client: FlaskClient) -> None:
    first = document(client.post("/v1/types/a.one/pause"))
    again = document(client.post("/v1/types/a.one/pause", headers={"X-Producer": "day-shift"}))
    assert again == first
    client.post("/v1/types/a.one/resume")
    assert document(client.post("/v1/types/a.one/pause", headers={"X-Producer": "day-shift"}))["by"] == "day-shift"


def test_what_does_not_exist_cannot_be_paused(ledger: Ledger, client: FlaskClient) -> None:
    problem(client.post("/v1/types/no.such/pause"), 404)
    problem(client.post("/v1/queues/nowhere/pause"), 404)
    ledger.post("a.one", 1)
    other = Ledger.__new__(Ledger)
    other.__dict__ |= ledger.__dict__ | {"registry": type(ledger.registry)()}
    # A process without its handler still knows it from the ledger.
    document(Road(other).client().post("/v1/types/a.one/pause"))


@pytest.mark.parametrize("place", ["types/a.slow", "queues/reports"])
def test_the_door_publishes_nothing_of_what_was_paused_a_moment_ago(
    ledger: Ledger, client: FlaskClient, place: str
) -> None:
    ledger.post("a.one", 1)  # The last that the intake heard is that nothing is paused.
    document(client.post(f"/v1/{place}/pause"))
    ledger.post("a.slow", 1)
    ledger.post("a.slow", 2)
    ledger.post("a.one", 2)
    ledger.until(lambda: [t.type for t in ledger.broker.published] == ["a.one", "a.one"])
    ledger.sql("update millrace.tickets set due_at = now()")  # The head start is over.
    assert "a.slow" not in released(ledger)


def test_an_overdue_ticket_of_what_is_paused_is_not_published_again(ledger: Ledger, client: FlaskClient) -> None:
    ledger.post("a.slow", 1)
    all_out(ledger)
    ledger.sql("update millrace.tickets set due_at = now(), published_at = now() - interval '10 min'")
    for place in ("types/a.slow", "queues/reports"):
        document(client.post(f"/v1/{place}/pause"))
        assert a_release(ledger).take_overdue("reports", True, 10, 10.0) == []
        document(client.post(f"/v1/{place}/resume"))
    assert len(a_release(ledger).take_overdue("reports", True, 10, 10.0)) == 1


def test_after_a_pause_nothing_more_is_released_while_clocks_are_at_work(ledger: Ledger, client: FlaskClient) -> None:
    ledger.post("a.one", *range(400))
    due_now(ledger)
    stop, paused = threading.Event(), threading.Event()

    def clock() -> tuple[int, int]:
        own, before, after = a_release(ledger), 0, 0
        while not stop.is_set():
            late = paused.is_set()  # Asked before the look: what begins after the pause takes nothing.
            taken = own.take_due(4, 60.0)
            own.mark_out([(d.ticket.id, d.revision) for d in taken])
            before, after = before + len(taken) * (not late), after + len(taken) * late
        return before, after

    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        clocks = [pool.submit(clock) for _ in range(3)]
        try:
            ledger.until(lambda: bool(ledger.sql("select 1 from millrace.tickets where published_at is not null")))
            document(client.post("/v1/types/a.one/pause"))
            paused.set()
            [(out,)] = ledger.sql("select count(*) from millrace.tickets where published_at is not null")
            ledger.until(lambda: all(not c.done() for c in clocks))
        finally:
            stop.set()
        before, after = (sum(numbers) for numbers in zip(*(c.result() for c in clocks), strict=True))
    assert (after, 0 < before < 400, out <= before) == (0, True, True)
    ledger.check()
    document(client.post("/v1/types/a.one/resume"))
    assert len(released(ledger)) == min(256, 400 - before)


def test_a_long_backlog_that_is_paused_is_not_read_in_every_round(ledger: Ledger, client: FlaskClient) -> None:
    ledger.sql(
        "insert into millrace.tickets (id, type, queue, exchange, routing_key, event_ids, due_at)"
        " select gen_random_uuid(), 'a.slow', 'reports', 'x', 'k', array[gen_random_uuid()], now() - interval '1 min'"
        " from generate_series(1, 20000)"
    )
    ledger.sql("analyze millrace.tickets")
    document(client.post("/v1/queues/reports/pause"))
    connection = psycopg2.connect(ledger.url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(
            "explain (analyze, format json) " + release.TAKE_DUE,
            {"window": 20_000, "limit": 256, "lead": 10.0, "recount": False},
        )
        [(plan,)] = cursor.fetchall()
    connection.close()
    assert most_rows(plan[0]["Plan"]) < 100
    ledger.sql("delete from millrace.tickets")


def most_rows(node: dict[str, Any]) -> int:
    """The most rows that any step of a plan has read."""
    here = int(node.get("Actual Rows", 0) + node.get("Rows Removed by Filter", 0)) * int(node.get("Actual Loops", 1))
    return max([here, *(most_rows(child) for child in node.get("Plans", []))])


# --- dead letters and replay ----------------------------------------------------------------------------------------


def test_dead_letters_are_listed_with_their_reason_page_by_page(ledger: Ledger, client: FlaskClient) -> None:
    died = [dead(ledger, "a.fails", n)[0] for n in range(5)]
    [other] = dead(ledger, "a.order", {"number": 1})
    page = document(client.get("/v1/dead?limit=4"))
    assert [d["id"] for d in page["dead"]] == [other, *died[:1:-1]]
    rest = document(client.get(f"/v1/dead?limit=4&cursor={page['next_cursor']}"))
    assert ([d["id"] for d in rest["dead"]], rest["next_cursor"]) == (died[1::-1], None)
    found = rest["dead"][0]
    assert (found["reason"], found["attempt"], found["error"]["error"]) == ("attempts", 1, "RuntimeError")
    assert [d["id"] for d in document(client.get("/v1/dead?type=a.order&reason=attempts"))["dead"]] == [other]
    assert document(client.get("/v1/dead?reason=worker_lost"))["dead"] == []
    assert document(client.get("/v1/dead?until=2020-01-01T00:00:00Z"))["dead"] == []
    assert len(document(client.get("/v1/dead?since=2020-01-01T00:00:00Z"))["dead"]) == 6
    wrong = problem(client.get("/v1/dead?reason=bad&cursor=x&limit=501&nothing=1"), 422)
    assert {e["parameter"] for e in wrong["errors"]} == {"reason", "cursor", "limit", "nothing"}


def test_a_replay_is_a_new_event_and_the_old_one_points_to_it(ledger: Ledger, client: FlaskClient) -> None:
    [old] = dead(ledger, "a.fails", {"n": 7})
    answer = client.post(f"/v1/events/{old}/replay")
    new = document(answer, 202)["id"]
    assert answer.headers["Location"] == f"/v1/events/{new}"
    ledger.check()
    found, before = document(client.get(f"/v1/events/{new}")), document(client.get(f"/v1/events/{old}"))
    assert (found["state"], found["payload"], found["replay_of"]) == ("pending", {"n": 7}, old)
    assert (before["state"], before["replayed_as"]) == ("dead", new)
    [letter] = document(client.get("/v1/dead?replayed=true"))["dead"]
    assert (letter["replayed_as"], letter["replayed_by"]) == (new, "night-shift")
    ledger.registry._handlers["a.fails"] = ledger.registry.get("a.one")  # It is mended.
    ledger.work()
    assert (ledger.balance(), ledger.states(), ledger.tickets()) == (1, {"dead": 1, "succeeded": 1}, [])


def test_only_the_dead_are_replayed_and_each_once(ledger: Ledger, client: FlaskClient) -> None:
    [pending] = ledger.post("a.one", 1)
    assert problem(client.post(f"/v1/events/{pending}/replay"), 409)["state"] == "pending"
    [old] = dead(ledger, "a.fails", 1)
    new = document(client.post(f"/v1/events/{old}/replay"), 202)["id"]
    again = problem(client.post(f"/v1/events/{old}/replay"), 409)
    assert (again["type"], again["replayed_as"]) == ("/problems/already-replayed", new)


def test_a_payload_may_be_edited_and_must_fit(ledger: Ledger, client: FlaskClient) -> None:
    [old] = dead(ledger, "a.order", {"number": 1})
    wrong = problem(client.post(f"/v1/events/{old}/replay", json={"payload": {"number": "x"}}), 422)
    assert wrong["errors"][0]["pointer"] == "/number"
    problem(client.post(f"/v1/events/{old}/replay", json={"number": 2}), 422)
    problem(client.post(f"/v1/events/{old}/replay", data="{", content_type="application/json"), 400)
    assert ledger.states() == {"dead": 1}
    new = document(client.post(f"/v1/events/{old}/replay", json={"payload": {"number": 2}}), 202)["id"]
    assert document(client.get(f"/v1/events/{new}"))["payload"] == {"number": 2}
    assert document(client.get(f"/v1/events/{old}"))["payload"] == {"number": 1}


def test_a_payload_that_fits_no_longer_must_be_edited(ledger: Ledger, client: FlaskClient) -> None:
    [old] = dead(ledger, "a.fails", "once a text was fine")
    ledger.registry._handlers["a.fails"] = ledger.registry.get("a.order")
    problem(client.post(f"/v1/events/{old}/replay"), 422)
    document(client.post(f"/v1/events/{old}/replay", json={"payload": {"number": 1}}), 202)


def test_a_dry_run_counts_by_type_and_finds_what_no_longer_fits(ledger: Ledger, client: FlaskClient) -> None:
    dead(ledger, "a.fails", 1, {"number": 2}, 3)
    dead(ledger, "a.order", {"number": 1})
    ledger.handler("a.gone", fail, attempts=1)
    dead(ledger, "a.gone", 1)
    ledger.registry._handlers["a.fails"] = ledger.registry.get("a.order")
    del ledger.registry._handlers["a.gone"]
    for dry_run, states in ((True, {"dead": 5}), (False, {"dead": 5, "pending": 2})):
        found = document(client.post(f"/v1/replay?dry_run={dry_run}"), 200 if dry_run else 202)
        counts = {t["type"]: (t["replayed"], t["unfit"], t["unhandled"]) for t in found["types"]}
        assert counts == {"a.fails": (1, 2, 0), "a.gone": (0, 0, 1), "a.order": (1, 0, 0)}
        assert (found["dry_run"], found["replayed"], found["left"]) == (dry_run, 2, 3)
        assert ledger.states() == states
        ledger.check()


def test_a_replay_by_filter_keeps_its_limit_and_begins_with_the_oldest(
    ledger: Ledger, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.application.replay.BATCH", 3)
    died = sorted(dead(ledger, "a.fails", *range(10)))
    found = document(client.post("/v1/replay?type=a.fails&limit=7"), 202)
    assert (found["replayed"], found["left"], found["complete"]) == (7, 3, False)
    old = ledger.sql("select event_id::text from millrace.dead where replayed_as is not null order by 1")
    assert [row[0] for row in old] == died[:7]
    found = document(client.post("/v1/replay?type=a.fails"), 202)
    assert (found["replayed"], found["left"], found["complete"]) == (3, 0, True)
    assert document(client.post("/v1/replay?type=a.fails"))["replayed"] == 0


def test_a_replay_is_throttled_by_when_its_tickets_are_due(ledger: Ledger, client: FlaskClient) -> None:
    dead(ledger, "a.fails", *range(20))
    document(client.post("/v1/replay?rate=2"), 202)
    waits = "select round(extract(epoch from due_at - min(due_at) over ()))::int, cardinality(event_ids)"
    assert ledger.sql(f"{waits} from millrace.tickets order by due_at") == [(n, 2) for n in range(10)]
    ledger.check()
    assert len(released(ledger)) <= 2
    later = document(client.get("/v1/events?state=pending"))["events"][-1]
    assert document(client.get(f"/v1/events/{later['id']}"))["reason"] in ("scheduled", "queued")
    assert ledger.sql("select count(*) from millrace.events where run_at > now() + interval '8 s'") == [(2,)]


def test_what_cost_its_workers_their_lives_is_replayed_carefully(ledger: Ledger, client: FlaskClient) -> None:
    dead(ledger, "a.fails", 1, 2)
    ledger.sql(
        "update millrace.dead set reason = %s where event_id = (select max(event_id::text)::uuid from millrace.dead)",
        outcome.Reason.WORKER_LOST,
    )
    document(client.post("/v1/replay"), 202)
    assert sorted(t.careful for t in ledger.tickets()) == [False, True]


def test_a_tick_is_replayed_as_a_tick(ledger: Ledger, client: FlaskClient) -> None:
    [old] = dead(ledger, "a.fails", 1)
    ledger.sql("update millrace.events set schedule = 'nightly', slot_at = '2026-01-01T00:00:00Z'")
    new = document(client.post(f"/v1/events/{old}/replay"), 202)["id"]
    assert document(client.get(f"/v1/events/{new}"))["slot_at"] == "2026-01-01T00:00:00Z"
    assert ledger.sql("select queue, exchange, routing_key from millrace.tickets") == [
        ("periodic", "millrace.periodic", "tick.nightly")
    ]


def test_two_operators_at_once_make_one_replay(ledger: Ledger, client: FlaskClient) -> None:
    letters = dead(ledger, "a.fails", *range(10))
    for old in letters:
        answers = at_once(client, 4, lambda own, old=old: own.post(f"/v1/events/{old}/replay"))
        [won] = [a.get_json()["id"] for a in answers if a.status_code == 202]
        assert [problem(a, 409)["replayed_as"] for a in answers if a.status_code != 202] == [won] * 3
        ledger.check()
    assert ledger.states() == {"dead": 10, "pending": 10}


def test_two_operators_by_filter_and_one_by_hand_make_one_replay_each(ledger: Ledger, client: FlaskClient) -> None:
    letters = dead(ledger, "a.fails", *range(60))
    places = ["/v1/replay", "/v1/replay?type=a.fails", f"/v1/events/{letters[30]}/replay"]
    waiting = iter(places)
    answers = at_once(client, 3, lambda own: own.post(next(waiting)))
    assert {a.status_code for a in answers} <= {200, 202, 409}
    assert ledger.sql(
        "select count(*), count(distinct replay_of) from millrace.events where replay_of is not null"
    ) == [(60, 60)]
    assert ledger.sql(
        "select count(*) from millrace.events o join millrace.events n on n.id = o.replayed_as and n.replay_of = o.id"
        " join millrace.dead d on d.event_id = o.id and d.replayed_as = n.id"
    ) == [(60,)]


def at_once(client: FlaskClient, count: int, act: Callable[[FlaskClient], TestResponse]) -> list[TestResponse]:
    """The answers to ``count`` clients that act at the same moment."""
    meet = threading.Barrier(count)

    def one(own: FlaskClient) -> TestResponse:
        meet.wait()
        return act(own)

    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, [client.application.test_client() for _ in range(count)]))


# --- strays ---------------------------------------------------------------------------------------------------------


class Foreign:
    """A message that is not ours."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.properties = {"content_type": "text/plain", "application_headers": {"x-from": "elsewhere"}}


def test_strays_are_listed_shown_and_discarded(ledger: Ledger, client: FlaskClient) -> None:
    for number in range(3):
        Upkeep(ledger.engine).file_stray("events", "rejected", Foreign(b"\x00\xff%d" % number))
    page = document(client.get("/v1/strays?limit=2"))
    [last] = document(client.get(f"/v1/strays?limit=2&cursor={page['next_cursor']}"))["strays"]
    assert (len(page["strays"]), last["queue"], last["bytes"]) == (2, "events", 3)
    hidden = document(client.get(last["links"]["self"]))
    assert (hidden["body"], hidden["masked"]) == (None, ["/body"])
    found = document(client.get(f"{last['links']['self']}?reveal=who+sends+this"))
    assert base64.b64decode(found["body"]) == b"\x00\xff0"
    assert (found["headers"], found["properties"]) == ({"x-from": "elsewhere"}, {"content_type": "text/plain"})
    assert client.delete(last["links"]["self"]).status_code == 204
    problem(client.delete(last["links"]["self"]), 404)
    problem(client.get("/v1/strays/no-id"), 404)
    assert len(document(client.get("/v1/strays"))["strays"]) == 2


# --- doctor ---------------------------------------------------------------------------------------------------------


def examined(ledger: Ledger, folder: pathlib.Path) -> dict[str, doctor.Finding]:
    settings = Settings.model_construct(database_url=ledger.url, broker_url=f"filesystem://{folder}")
    return {finding.name: finding for finding in doctor.examine(settings)}


def test_the_doctor_names_what_is_wrong_with_a_damaged_ledger(ledger: Ledger, tmp_path: pathlib.Path) -> None:
    lost = ledger.post("a.one", *range(7))
    ledger.post("a.many", 1)
    all_out(ledger)
    ledger.sql("delete from millrace.tickets where type = 'a.one'")
    ledger.sql("update millrace.tallies set n = n - 2 where type = 'a.one'")
    ledger.sql("update millrace.tallies set n = n + 2 where type = 'a.many'")
    found = balance.count(ledger.engine)
    assert (found.open, found.tallied) == (8, 8)  # In sum they agree.
    findings = examined(ledger, tmp_path)
    assert (findings["tickets"].ok, findings["tallies"].ok) == (False, False)
    assert "7 of them without a ticket" in findings["tickets"].detail
    assert [i in findings["tickets"].detail for i in sorted(lost)] == [True] * 5 + [False] * 2
    assert "a.one 5 against 7" in findings["tallies"].detail
    assert "a.many 3 against 1" in findings["tallies"].detail
    ledger.sql("update millrace.tallies set n = 7 where type = 'a.one'")
    ledger.sql("update millrace.tallies set n = 1 where type = 'a.many'")
    client = Road(ledger).client()
    for event_id in lost:  # The cure that the recipe names.
        document(client.post(f"/v1/events/{event_id}/cancel"))
    findings = examined(ledger, tmp_path)
    assert (findings["tickets"].ok, findings["tallies"].ok) == (True, True)
