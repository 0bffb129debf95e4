"""``GET /v1/events/<id>/explain`` and what is told of processes and queues, on a real ledger."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from flask.testing import FlaskClient

from service.application.noting import Noter
from service.domain import errors, outcome, processes
from service.ledger.processes import FORGET, ProcessLedger
from tests.front import Front
from tests.ledgers import Ledger, all_out

pytestmark = pytest.mark.postgres

TO_BROKER = (
    "update millrace.tickets set published_at = clock_timestamp(), due_at = clock_timestamp() + interval '5 min'"
)


@pytest.fixture
def ledger(database: str) -> Ledger:
    ledger = Ledger(database)
    ledger.handler("a.b", lambda payload, ctx: payload, bundle=1)
    ledger.handler("a.fails", _fail, bundle=1)
    ledger.handler("a.slow", lambda payload, ctx: None, queue="slow", detached=True)
    return ledger


@pytest.fixture
def client(ledger: Ledger) -> FlaskClient:
    return Front(ledger).client()


def _fail(payload: Any, ctx: Any) -> Any:
    raise outcome.Discard("nobody wants it") if payload == "discard" else RuntimeError("boom")


def note(ledger: Ledger, kind: processes.Kind, **more: Any) -> None:
    """Have a process noted."""
    described = {"host": "h", "pid": 7, "version": "1", "types": ("a.b", "a.fails", "a.slow")} | more
    noted = processes.Note(60.0, True, described.pop("holding", ()))
    process = processes.Process(kind, **described)
    Noter(ProcessLedger(ledger.engine), lambda: process, lambda: noted).once()


def explained(client: FlaskClient, event_id: str) -> dict[str, Any]:
    answer = client.get(f"/v1/events/{event_id}/explain")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.get_json()
    assert found["sentence"]
    assert found["links"]["event"] == f"/v1/events/{event_id}"
    return found


def why(client: FlaskClient, event_id: str) -> str:
    return str(explained(client, event_id)["reason"])


def test_what_a_pending_event_waits_for_is_told_step_by_step(ledger: Ledger, client: FlaskClient) -> None:
    first, second = ledger.post("a.b", 1), ledger.post("a.b", 2)
    all_out(ledger)
    ledger.sql(TO_BROKER)
    assert why(client, second[0]) == "no_worker"
    note(ledger, processes.Kind.WORKER, queues=("slow",), slots=1)
    assert why(client, second[0]) == "no_worker"
    note(ledger, processes.Kind.WORKER, queues=("events",), slots=2, types=("other",))
    assert "has a handler for a.b" in explained(client, second[0])["sentence"]
    note(ledger, processes.Kind.WORKER, queues=("events",), slots=2)
    assert explained(client, first[0])["facts"]["ahead"] == 0
    ledger.sql(
        "update millrace.tickets set published_at = published_at + interval '1 s' where %s = any(event_ids)", second[0]
    )
    found = explained(client, second[0])
    assert (found["reason"], found["facts"]["ahead"], found["facts"]["workers"]) == ("queued", 1, 1)
    assert found["expected_at"] is None  # Nothing was worked yet, so nobody knows how fast.
    ledger.executor.execute(ledger.tickets()[0])
    assert explained(client, first[0])["reason"] == "succeeded"
    found = explained(client, second[0])
    assert (found["facts"]["ahead"], found["facts"]["rate"] > 0) == (0, True)
    assert found["expected_at"] is not None


def test_what_is_not_out_yet_waits_for_its_time_an_operator_or_a_clock(ledger: Ledger, client: FlaskClient) -> None:
    later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)
    [planned] = ledger.post("a.b", 1, run_at=later)
    found = explained(client, planned)
    assert found["reason"] == "scheduled"
    assert datetime.datetime.fromisoformat(found["expected_at"]) == later
    client.post("/v1/types/a.b/pause", headers={"X-Producer": "ann"})
    [paused] = ledger.post("a.b", 2)
    found = explained(client, paused)
    assert (found["reason"], found["facts"]["type_paused"]["by"]) == ("type_paused", "ann")
    client.post("/v1/types/a.b/resume")
    ledger.sql("update millrace.tickets set published_at = null, due_at = clock_timestamp() - interval '1 min'")
    ledger.sql("update millrace.events set run_at = null")
    assert why(client, paused) == "no_clock"
    note(ledger, processes.Kind.CLOCK)
    note(ledger, processes.Kind.WORKER, queues=("events",))
    assert why(client, paused) == "publishing"
    ledger.sql("update millrace.types set out_events = 20000 where name = 'a.b'")
    assert why(client, paused) == "held_back"


def test_an_event_that_a_worker_has_in_a_transaction_is_being_worked(ledger: Ledger, client: FlaskClient) -> None:
    seen: list[dict[str, Any]] = []
    ledger.handler("a.look", lambda payload, ctx: seen.append(explained(client, ctx.event.id)), bundle=1)
    [event_id] = ledger.post("a.look", 1)
    ledger.work()
    assert [found["reason"] for found in seen] == ["being_worked"]
    assert why(client, event_id) == "succeeded"


def test_a_run_of_a_detached_handler_says_who_has_it_since_when(ledger: Ledger, client: FlaskClient) -> None:
    seen: list[dict[str, Any]] = []

    def look(payload: Any, ctx: Any) -> None:
        seen.append(explained(client, ctx.event.id))
        ledger.sql("update millrace.events set lease_until = clock_timestamp() where id = %s", ctx.event.id)
        seen.append(explained(client, ctx.event.id))

    ledger.handler("a.look", look, queue="slow", detached=True)
    [event_id] = ledger.post("a.look", 1)
    ledger.work()
    running, lost = seen
    assert (running["reason"], running["facts"]["by"], running["facts"]["attempt"]) == ("running", "test", 1)
    assert running["expected_at"] == running["facts"]["since"] is not None
    assert lost["reason"] == "lease_ended"
    assert why(client, event_id) == "succeeded"
    assert ledger.sql("select count(*) from millrace.tickets where holder is not null") == [(0,)]


def test_a_failure_is_told_with_its_next_attempt_and_its_end(ledger: Ledger, client: FlaskClient) -> None:
    [retried], [dead] = ledger.post("a.fails", 1), ledger.post("a.fails", "discard")
    ledger.work()
    found = explained(client, retried)
    assert (found["reason"], found["facts"]["error"], found["facts"]["attempts"]) == ("backing_off", "RuntimeError", 1)
    assert found["expected_at"] == found["facts"]["retry_at"]
    assert found["facts"]["failed_at"] is not None
    found = explained(client, dead)
    assert (found["reason"], found["facts"]["dead_reason"]) == ("dead", "discarded")


def test_an_event_that_is_not_there_has_no_explanation(client: FlaskClient) -> None:
    for event_id in ("00000000-0000-7000-8000-000000000000", "x"):
        answer = client.get(f"/v1/events/{event_id}/explain")
        assert (answer.status_code, answer.get_json()["type"]) == (404, "/problems/event-not-found")


def test_a_process_is_alive_while_it_is_noted_and_forgotten_later(ledger: Ledger, client: FlaskClient) -> None:
    held = processes.Held(9, "a.b", "019a0000-0000-7000-8000-000000000000", 3, 1.5)
    for kind in processes.Kind:
        note(ledger, kind, queues=("events",) if kind is processes.Kind.WORKER else ())
    note(ledger, processes.Kind.WORKER, queues=("events", "slow"), slots=4, holding=(held,))
    [worker] = client.get("/v1/workers").get_json()["processes"]
    assert (worker["host"], worker["queues"], worker["slots"]) == ("h", ["events", "slow"], 4)
    assert (worker["alive"], worker["broker"], worker["digest"]) == (True, True, processes.digest(worker["types"]))
    assert (worker["holding"][0]["ticket"], worker["holding"][0]["seconds"] >= 1.5) == (held.ticket, True)
    began = datetime.datetime.fromisoformat(worker["started_at"])
    assert 59 < (datetime.datetime.fromisoformat(worker["seen_at"]) - began).total_seconds() < 120
    ledger.sql("update millrace.processes set seen_at = now() - interval '1 min' where kind = 'clock'")
    assert [c["alive"] for c in client.get("/v1/clocks").get_json()["processes"]] == [False]
    kinds = [p["kind"] for p in client.get("/v1/processes").get_json()["processes"]]
    assert kinds == ["clock", "web", "worker"]
    ledger.sql("update millrace.processes set seen_at = now() - interval '1 day' where kind = 'clock'")
    ledger.sql(FORGET)
    assert [p["kind"] for p in client.get("/v1/processes").get_json()["processes"]] == ["web", "worker"]
    assert client.get("/v1/processes?kind=x").get_json()["errors"][0]["detail"] == "one of web, worker, clock is wanted"


def test_queues_are_counted_with_what_waits_longest(ledger: Ledger, client: FlaskClient) -> None:
    ledger.post("a.b", 1, 2)
    ledger.post("a.slow", 1)
    ledger.until(lambda: len(ledger.broker.published) == 3)
    ledger.until(lambda: ledger.sql("select count(*) from millrace.tickets where published_at is null") == [(0,)])
    ledger.sql("update millrace.tickets set due_at = now() - interval '1 s' where queue = 'events'")
    ledger.sql("update millrace.tickets set published_at = null, due_at = now() where queue = 'slow'")
    note(ledger, processes.Kind.WORKER, queues=("events", "reports"), slots=3)
    client.post("/v1/queues/slow/pause", headers={"X-Producer": "ann"})
    found = {q["name"]: q for q in client.get("/v1/queues").get_json()["queues"]}
    assert sorted(found) == ["events", "periodic", "reports", "slow"]
    events, slow = found["events"], found["slow"]
    assert (events["due"], events["out"], events["overdue"], events["workers"], events["slots"]) == (0, 2, 2, 1, 3)
    assert events["oldest_waiting"] > 0
    assert (slow["due"], slow["out"], slow["workers"], slow["paused_by"]) == (1, 0, 0, "ann")
    assert slow["oldest_waiting"] is None  # Somebody wants it to wait.
    client.post("/v1/queues/slow/resume")
    assert {q["name"]: q["oldest_waiting"] for q in client.get("/v1/queues").get_json()["queues"]}["slow"] > 0


def test_the_ledger_being_away_is_told_as_everywhere(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: Any) -> Any:
        raise errors.LedgerUnavailable("away")

    monkeypatch.setattr("service.ledger.transactions._connect", away)
    for path in (f"/v1/events/{'0' * 8}-0000-7000-8000-{'0' * 12}/explain", "/v1/workers", "/v1/queues"):
        answer = client.get(path)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
