"""Few round trips: what may wait goes with the next statement, and a handler notices nothing of it."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from typing import Any

import psycopg2.extras
import pytest
import sqlalchemy

from service.domain import backoff
from service.ledger import pipeline
from tests.integration.test_execute import add, effect
from tests.ledgers import EFFECT, Ledger

pytestmark = pytest.mark.postgres

LATER = backoff.Backoff(base=60.0, cap=60.0)


@pytest.fixture
def ledger(database: str) -> Ledger:
    return Ledger(database)


def worked(ledger: Ledger, function: Any) -> dict[str, int]:
    """What comes of one event."""
    ledger.handler("a.b", function, backoff=LATER)
    ledger.post("a.b", 1)
    [report] = ledger.work()
    ledger.check()
    return report.words


def driver(ctx: Any) -> Any:
    return ctx.session.connection().connection


def test_a_handler_with_one_statement_makes_three_trips(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    worked(ledger, add)  # The first time SQLAlchemy asks for this and that.
    sent: list[str] = []
    original = pipeline.Connection.sending

    @contextlib.contextmanager
    def sending(connection: pipeline.Connection) -> Iterator[str]:
        with original(connection) as waiting:
            sent.append(waiting)
            yield waiting

    monkeypatch.setattr(pipeline.Connection, "sending", sending)
    ledger.handler("a.one", lambda payload, ctx: ctx.session.execute(sqlalchemy.text(EFFECT)) and None)
    ledger.post("a.one", 1)
    ledger.work()
    assert len(sent) == 3
    assert (ledger.balance(), ledger.states()) == (2, {"succeeded": 2})


def test_what_a_handler_undoes_is_undone_and_what_it_does_then_stays(ledger: Ledger) -> None:
    def work(payload: Any, ctx: Any) -> None:
        with contextlib.suppress(sqlalchemy.exc.ProgrammingError):
            ctx.session.execute(sqlalchemy.text("select * from nowhere"))  # The first statement, with the savepoint.
        ctx.session.rollback()
        effect(ctx)
        with contextlib.suppress(RuntimeError), ctx.session.begin_nested():
            ctx.session.execute(sqlalchemy.text(EFFECT))
            raise RuntimeError
        with ctx.session.begin_nested():
            ctx.session.execute(sqlalchemy.text(EFFECT))

    assert worked(ledger, work) == {"done": 1}
    assert ledger.balance() == 2


def test_what_has_no_form_in_sql_does_not_lose_what_waits(ledger: Ledger) -> None:
    def work(payload: Any, ctx: Any) -> None:
        with contextlib.suppress(sqlalchemy.exc.ProgrammingError):
            ctx.session.execute(sqlalchemy.text("select :it"), {"it": object()})
        ctx.session.rollback()
        effect(ctx)

    assert worked(ledger, work) == {"done": 1}
    assert ledger.balance() == 1


def test_after_a_syntax_error_that_came_first_the_attempt_has_failed(ledger: Ledger) -> None:
    """PostgreSQL reads a string before it begins with it: the savepoint was not set. Nothing is lost by that."""

    def work(payload: Any, ctx: Any) -> None:
        with contextlib.suppress(sqlalchemy.exc.ProgrammingError):
            ctx.session.execute(sqlalchemy.text("selct 1"))
        ctx.session.rollback()
        effect(ctx)

    assert worked(ledger, work) == {"retry": 1}
    assert ledger.balance() == 0


def test_a_cursor_on_the_server_reads_piece_by_piece(ledger: Ledger) -> None:
    def work(payload: Any, ctx: Any) -> None:
        effect(ctx)
        rows = ctx.session.execute(
            sqlalchemy.text("select generate_series(1, 1000)"), execution_options={"yield_per": 100}
        )
        assert sum(row[0] for row in rows) == 500_500
        effect_again = sqlalchemy.text(EFFECT)
        ctx.session.execute(effect_again)

    assert worked(ledger, work) == {"done": 1}
    assert ledger.balance() == 2
    ledger.post("a.b", 2)
    assert [report.words for report in ledger.work()] == [{"done": 1}]  # On the same connection.


def test_copy_many_values_and_cursors_of_other_classes_work(ledger: Ledger) -> None:
    def work(payload: Any, ctx: Any) -> None:
        connection = driver(ctx)
        ctx.session.begin_nested()
        with connection.cursor() as cursor:
            cursor.copy_expert("copy account from stdin", io.StringIO("5\n"))
            cursor.executemany("update account set balance = balance + %s", [(1,), (2,)])
        with connection.cursor(cursor_factory=psycopg2.extras.DictCursor) as cursor:
            cursor.execute("select max(balance) as most from account")
            assert cursor.fetchone()["most"] == 8
        with connection.cursor() as cursor:
            cursor.execute("delete from account where balance = 8")
        effect(ctx)

    assert worked(ledger, work) == {"done": 1}
    assert ledger.balance() == 4


def test_what_fails_at_the_commit_is_a_failed_attempt(ledger: Ledger) -> None:
    ledger.sql("create table once (n int unique deferrable initially deferred)")

    def work(payload: Any, ctx: Any) -> None:
        effect(ctx)
        ctx.session.execute(sqlalchemy.text("insert into once values (1), (1)"))

    assert worked(ledger, work) == {"retry": 1}
    assert (ledger.balance(), ledger.sql("select count(*) from once")) == (0, [(0,)])
