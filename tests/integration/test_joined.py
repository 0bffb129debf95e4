"""Tickets that are worked together: in one transaction if all goes well, each for itself if not."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import psycopg2
import pytest

from service.application import execute
from service.domain import backoff, ticket
from tests.integration.test_execute import add
from tests.ledgers import Ledger

pytestmark = pytest.mark.postgres


@pytest.fixture
def ledger(database: str) -> Ledger:
    return Ledger(database)


def post_apart(ledger: Ledger, type_name: str, number: int) -> None:
    for value in range(number):
        ledger.post(type_name, value)
    assert len(ledger.tickets()) == number


def test_they_share_a_transaction_and_their_tickets_are_gone(ledger: Ledger) -> None:
    transactions = set()

    def work(payload: Any, ctx: Any) -> None:
        add(payload, ctx)
        transactions.add(ctx.session.connection().exec_driver_sql("select pg_current_xact_id()").scalar())

    ledger.handler("a.b", work)
    post_apart(ledger, "a.b", 3)
    report = ledger.executor.execute(ticket.join(ledger.tickets()))
    assert (report.words, len(transactions)) == ({"done": 3}, 1)
    assert (ledger.balance(), ledger.tickets()) == (3, [])
    ledger.check()


def test_the_one_that_fails_takes_nobody_along(ledger: Ledger) -> None:
    def work(payload: int, ctx: Any) -> None:
        add(payload, ctx)
        if payload == 1:
            raise ValueError

    ledger.handler("a.b", work, backoff=backoff.Backoff(base=60.0, cap=60.0))
    post_apart(ledger, "a.b", 3)
    report = ledger.executor.execute(ticket.join(ledger.tickets()))
    assert report.words == {"done": 2, "retry": 1}
    assert (ledger.balance(), len(ledger.tickets())) == (2, 1)
    ledger.check()


def test_what_another_worker_holds_keeps_its_ticket(ledger: Ledger) -> None:
    ledger.handler("a.b", add)
    post_apart(ledger, "a.b", 3)
    found = ledger.tickets()
    other = psycopg2.connect(ledger.url)
    other.cursor().execute("select from millrace.events where id = %s for no key update", found[1].event_ids)
    assert ledger.executor.execute(ticket.join(found)).words == {"done": 2, "skipped": 1}
    other.close()
    assert [left.ticket for left in ledger.tickets()] == [found[1].ticket]
    assert {r.words["done"] for r in ledger.work()} == {1}
    assert (ledger.balance(), ledger.tickets()) == (3, [])


def test_what_was_cut_is_due_at_once_and_what_was_not_is_gone(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execute, "CUT", 0.0)
    ledger.handler("a.b", add)
    post_apart(ledger, "a.b", 3)
    assert ledger.executor.execute(ticket.join(ledger.tickets())).words == {"done": 1}
    assert ledger.sql("select count(*), bool_and(due_at <= clock_timestamp()) from millrace.tickets") == [(2, True)]
    ledger.check()


def test_delivered_twice_they_are_worked_once(ledger: Ledger) -> None:
    ledger.handler("a.b", add)
    post_apart(ledger, "a.b", 2)
    found = ticket.join(ledger.tickets())
    ledger.executor.execute(found)
    again = dataclasses.replace(found, careful=True)
    assert json.loads(repr(ledger.executor.execute(again)))["skipped"] == 2
    assert ledger.balance() == 2
