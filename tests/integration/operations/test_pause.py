"""Pause: nothing of a paused type or queue goes out, and who looks is told so."""

from __future__ import annotations

import concurrent.futures
import threading
from typing import Any

import psycopg2
import pytest
from flask.testing import FlaskClient

from service.ledger import release
from tests.answers import document, problem
from tests.front import operator
from tests.integration.operations.desk import released
from tests.ledgers import Ledger, a_release, all_out, due_now

pytestmark = pytest.mark.postgres


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
    told = {"kind": "type", "name": "a.one", "at": paused["at"], "by": "night-shift", "because": None}
    assert shown["a.one"]["pauses"] == [told]
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
    document(operator(other, "day-shift").post("/v1/types/a.one/pause"))


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
            taken = own.take_due(1, 600.0)
            own.mark_out([(d.ticket.id, d.revision) for d in taken])
            before, after = before + len(taken) * (not late), after + len(taken) * late
            stop.wait(0.02)  # However long the pause takes on a busy machine, something is left that it keeps back.
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
