"""Execute: who is to blame for what comes out of a handler, its event or the road, on a real ledger."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import math
import sqlite3
from collections.abc import Callable
from typing import Any

import psycopg2
import pytest
import sqlalchemy

from service.application import execute
from service.application.execute import Executor
from service.domain import backoff, errors, outcome
from service.ledger.work import WorkLedger
from tests.ledgers import EFFECT, Ledger

pytestmark = pytest.mark.postgres

LATER = backoff.Backoff(base=60.0, cap=60.0)


class Unspeakable(Exception):
    """An error whose text cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError


@pytest.fixture
def ledger(database: str) -> Ledger:
    return Ledger(database)


def raising(error: BaseException) -> Callable[[Any], None]:
    def act(ctx: Any) -> None:
        raise error

    return act


def another_server(ctx: Any) -> None:
    psycopg2.connect("host=127.0.0.1 port=1 connect_timeout=1")


def another_database(ctx: Any) -> None:
    sqlite3.connect(":memory:").execute("nonsense")


def running(*statements: str) -> Callable[[Any], None]:
    def act(ctx: Any) -> None:
        for statement in statements:
            ctx.session.execute(sqlalchemy.text(statement))

    return act


@pytest.mark.parametrize(
    ("act", "name"),
    [
        (another_server, "OperationalError"),
        (another_database, "OperationalError"),
        (running("set local statement_timeout = '20ms'", "select pg_sleep(5)"), "OperationalError"),
        (running("select * from account for update nowait"), "OperationalError"),
        (raising(Unspeakable()), "Unspeakable"),
        (raising(asyncio.CancelledError()), "CancelledError"),
        (raising(SystemExit(3)), "SystemExit"),
        (lambda ctx: outcome.Retry(after=math.inf), "ValueError"),
        (lambda ctx: outcome.Snooze(seconds=1e15), "ValueError"),
    ],
    ids=["another server", "another database", "a statement's limit", "nowait", "no text", "cancelled", "exit",
         "for ever", "too far"],
)  # fmt: skip
def test_what_a_handler_brings_about_is_an_attempt_of_its_event(
    ledger: Ledger, act: Callable[[Any], Any], name: str
) -> None:
    def work(payload: int, ctx: Any) -> Any:
        ctx.session.execute(sqlalchemy.text("insert into effects values (:id)"), {"id": ctx.event.id})
        return act(ctx) if payload == 1 else None

    ledger.handler("a.b", work, backoff=LATER)
    ledger.post("a.b", 0, 1, 2)
    holder = psycopg2.connect(ledger.url)
    holder.cursor().execute("select * from account for update")  # For the one that will not wait.
    [report] = ledger.work()
    holder.close()
    assert report.words == {"done": 2, "retry": 1}
    assert ledger.sql("select attempt, error from millrace.attempts") == [(1, name)]
    ledger.check()


def test_a_discarded_event_is_dead_whatever_the_reason_is(ledger: Ledger) -> None:
    def work(payload: int) -> None:
        raise outcome.Discard(None)  # type: ignore[arg-type]

    ledger.handler("a.b", lambda payload, ctx: work(payload))
    ledger.post("a.b", 1)
    assert ledger.work()[0].words == {"dead": 1}


@pytest.mark.fault(23)
@pytest.mark.parametrize("manner", ["wrapped", "swallowed"])
def test_a_lost_ledger_is_no_attempt_whatever_the_handler_makes_of_it(ledger: Ledger, manner: str) -> None:
    def work(payload: int, ctx: Any) -> None:
        victim = ctx.session.execute(sqlalchemy.text("select pg_backend_pid()")).scalar_one()
        ledger.sql("select pg_terminate_backend(%s)", victim)
        try:
            ctx.session.execute(sqlalchemy.text(EFFECT))
        except Exception as error:
            if manner == "wrapped":
                raise RuntimeError("could not book") from error

    ledger.handler("a.b", work, attempts=1)
    ledger.post("a.b", 1)
    [delivery] = ledger.tickets()
    with pytest.raises(errors.LedgerUnavailable):
        ledger.executor.execute(delivery)
    assert ledger.sql("select attempt, state from millrace.events") == [(0, "pending")]


def test_a_ledger_that_is_away_again_and_again_is_no_crash(ledger: Ledger) -> None:
    """What is tried again in one process has crashed nobody."""
    left = [6]

    def work(payload: int, ctx: Any) -> None:
        ctx.session.execute(sqlalchemy.text(EFFECT))
        left[0] -= 1
        if left[0]:
            ctx.session.execute(sqlalchemy.text("do $$ begin raise sqlstate '40P01'; end $$"))

    ledger.handler("a.b", work)
    ledger.post("a.b", 1)
    delivery = dataclasses.replace(ledger.tickets()[0], careful=True)
    while left[0] > 1:
        with pytest.raises(sqlalchemy.exc.OperationalError):
            ledger.executor.execute(delivery)
        assert ledger.sql("select crashes from millrace.events") == [(0,)]
    assert ledger.executor.execute(delivery).words == {"done": 1}
    assert ledger.balance() == 1


def test_an_end_that_was_meant_for_the_process_is_no_attempt(ledger: Ledger) -> None:
    """A service manager tells the children too, and a hard limit begins with SIGTERM."""

    def work(payload: int, ctx: Any) -> None:
        raise SystemExit

    told = WorkLedger(ledger.engine, worker="test")
    executor = Executor(told, ledger.registry, limits=(20.0, 30.0), leaving=lambda: True)
    ledger.handler("a.b", work, attempts=1)
    ledger.post("a.b", 1)
    with pytest.raises(SystemExit):
        executor.execute(ledger.tickets()[0])
    assert ledger.sql("select attempt, state from millrace.events") == [(0, "pending")]


def test_a_message_that_names_a_part_of_a_ticket_leaves_the_others_their_ticket(ledger: Ledger) -> None:
    ledger.handler("a.b", lambda payload, ctx: None)
    ids = ledger.post("a.b", 1, 2, 3)
    [delivery] = ledger.tickets()
    for careful in (False, True):
        forged = dataclasses.replace(delivery, event_ids=(ids[int(careful)],), careful=careful)
        assert ledger.executor.execute(forged).words == {"done": 1}
        ledger.check()
    assert ledger.executor.execute(delivery).words == {"done": 1, "skipped": 2}
    ledger.check()
    assert ledger.tickets() == []


def test_what_is_left_of_a_careful_turn_stays_careful(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execute, "CUT", 0.0)
    ledger.handler("a.b", lambda payload, ctx: None)
    ledger.post("a.b", 1, 2, 3)
    ledger.executor.execute(dataclasses.replace(ledger.tickets()[0], careful=True))
    [left] = ledger.tickets()
    assert (len(left.event_ids), left.careful) == (2, True)


def test_what_cannot_be_counted_is_not_run_and_stays_careful(ledger: Ledger) -> None:
    """Another worker has it; when that one dies, nobody may run it uncounted."""
    ledger.handler("a.b", lambda payload, ctx: None)
    [event_id] = ledger.post("a.b", 1)
    delivery = dataclasses.replace(ledger.tickets()[0], careful=True)
    other = psycopg2.connect(ledger.url)
    other.cursor().execute("select from millrace.events where id = %s for no key update", (event_id,))
    assert ledger.executor.execute(delivery).words == {"skipped": 1}
    other.close()
    assert [t.careful for t in ledger.tickets()] == [True]
    assert ledger.sql("select state, crashes from millrace.events") == [("pending", 0)]


def swallowing(payload: Any, ctx: Any) -> None:
    """An error of the database that the handler takes for nothing; it undoes nothing either."""
    if payload == "bad":
        with contextlib.suppress(sqlalchemy.exc.DBAPIError):
            ctx.session.execute(sqlalchemy.text("insert into account values (null)"))
    else:
        ctx.session.execute(sqlalchemy.text(EFFECT))


@pytest.mark.parametrize(
    "function",
    [
        pytest.param(swallowing, id="an error that was swallowed"),
        pytest.param(lambda payload, ctx: "\0" if payload == "bad" else swallowing(payload, ctx), id="a NUL returned"),
        pytest.param(lambda payload, ctx: "\udc80" if payload == "bad" else swallowing(payload, ctx), id="half a pair"),
    ],
)
def test_what_shows_at_the_commit_is_a_failed_attempt_and_its_companions_are_worked(
    ledger: Ledger, function: Callable[..., Any]
) -> None:
    ledger.handler("a.b", function, attempts=1)
    ledger.post("a.b", 1, "bad", 2)
    [report] = ledger.work()
    assert report.words == {"done": 2, "dead": 1}
    assert (ledger.states(), ledger.balance()) == ({"succeeded": 2, "dead": 1}, 2)
    assert ledger.sql("select count(*) from millrace.attempts") == [(1,)]
    ledger.check()
