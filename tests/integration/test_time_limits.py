"""The soft time limit: it reaches a handler that waits for the ledger, and nobody who is not to blame."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg2
import pytest
import sqlalchemy
from billiard.exceptions import SoftTimeLimitExceeded
from sqlalchemy import orm

from service.application import execute
from service.domain import backoff
from service.ledger import work as works
from tests.ledgers import EFFECT, Ledger
from tests.patience import within
from workers import limits

pytestmark = pytest.mark.postgres

LATER = backoff.Backoff(base=60.0, cap=60.0)
SOFT, HARD = 0.4, 1.2  #: seconds
LONG = 15  #: seconds that a statement takes, if nobody ends it


class Base(orm.DeclarativeBase):
    pass


class Account(Base):
    __tablename__ = "account"
    balance: orm.Mapped[int] = orm.mapped_column(primary_key=True)


def query(ctx: Any) -> None:
    ctx.session.execute(sqlalchemy.text(f"select pg_sleep({LONG})"))


def late_query(ctx: Any) -> None:
    time.sleep(SOFT / 2)
    ctx.session.execute(sqlalchemy.text(f"select pg_sleep({LONG})"))


def lock(ctx: Any) -> None:
    ctx.session.execute(sqlalchemy.text(f"set local lock_timeout = '{LONG}s'"))
    ctx.session.execute(sqlalchemy.text("select * from account for update"))


def flush(ctx: Any) -> None:
    """It waits for the lock when its last work is sent."""
    ctx.session.execute(sqlalchemy.text(f"set local lock_timeout = '{LONG}s'"))
    ctx.session.get(Account, 0).balance = 7


@pytest.fixture
def ledger(database: str) -> Ledger:
    return Ledger(database)


@pytest.fixture
def locked(ledger: Ledger) -> Iterator[None]:
    holder = psycopg2.connect(ledger.url)
    holder.cursor().execute("select * from account for update")
    yield
    holder.close()


@pytest.mark.fault(29)
@pytest.mark.usefixtures("locked")
@pytest.mark.parametrize("act", [query, late_query, lock, flush])
def test_a_handler_that_waits_in_sql_has_a_failed_attempt(ledger: Ledger, act: Callable[[Any], None]) -> None:
    executor = ledger.worker(limits=(SOFT, HARD))
    ledger.handler("a.b", lambda payload, ctx: act(ctx), backoff=LATER)
    ledger.post("a.b", 1)
    [delivery] = ledger.tickets()
    with within(LONG / 2):
        assert executor.execute(delivery).words == {"retry": 1}
    assert ledger.sql("select attempt, error from millrace.attempts") == [(1, "TimeLimit")]
    assert ledger.sql("select count(*) from pg_stat_activity where state = 'active' and query like '%pg_sleep%'") == [
        (1,)  # This question.
    ]
    ledger.check()


def test_a_detached_handler_that_waits_in_sql_has_a_failed_attempt(ledger: Ledger) -> None:
    def work(payload: Any, ctx: Any) -> None:
        ctx.session.execute(sqlalchemy.text(EFFECT))
        ctx.session.commit()
        query(ctx)

    ledger.handler("a.b", work, detached=True, queue="slow", bundle=1, soft_limit=SOFT, hard_limit=HARD, backoff=LATER)
    ledger.post("a.b", 1)
    with within(LONG / 2):
        [report] = ledger.work()
    assert report.words == {"retry": 1}
    assert ledger.sql("select attempt, error from millrace.attempts") == [(1, "TimeLimit")]
    assert ledger.balance() == 1


def test_the_limit_is_the_handlers_and_not_the_roads(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the road writes when the time is up may take as long as it must."""
    original = works.Work._add

    def add(self: works.Work, statement: str, *values: Any) -> None:
        original(self, f"select pg_sleep({HARD})")
        original(self, statement, *values)

    monkeypatch.setattr(works.Work, "_add", add)
    executor = ledger.worker(limits=(SOFT, HARD))
    ledger.handler("a.b", lambda payload, ctx: ctx.session.execute(sqlalchemy.text(EFFECT)) and None)
    ledger.post("a.b", 1)
    assert executor.execute(ledger.tickets()[0]).words == {"done": 1}
    assert ledger.balance() == 1


def test_what_is_shorter_holds(ledger: Ledger) -> None:
    """A handler's own limit, and what the role has; and nothing of ours is left behind."""
    show = sqlalchemy.text("show statement_timeout")
    seen: list[str] = []

    def work(payload: Any, ctx: Any) -> None:
        seen.append(ctx.session.execute(show).scalar_one())
        ctx.session.rollback()
        seen.append(ctx.session.execute(show).scalar_one())
        if payload == "own":
            ctx.session.execute(sqlalchemy.text("set local statement_timeout = '3s'"))
            time.sleep(0.6)  # Our limit would be said anew.
            seen.append(ctx.session.execute(show).scalar_one())

    executor = ledger.worker(limits=(90.0, 91.0))
    ledger.handler("a.b", work)
    ledger.post("a.b", 1)
    assert executor.execute(dataclasses.replace(ledger.tickets()[0], since=time.monotonic())).words == {"done": 1}
    assert all(80_000 < int(each.removesuffix("ms")) <= 90_000 for each in seen), seen

    ledger.sql("alter role current_user set statement_timeout = '7s'")
    ledger.engine.dispose()
    seen.clear()
    ledger.post("a.b", "own")
    assert executor.execute(ledger.tickets()[0]).words == {"done": 1}
    ledger.sql("alter role current_user reset statement_timeout")
    assert seen == ["7s", "7s", "3s"]
    with ledger.engine.get().connect() as connection:
        assert connection.execute(show).scalar_one() == "7s"
    ledger.engine.dispose()


# --- it strikes outside of a handler ----------------------------------------------------------------------------------


def strike() -> None:
    limits._strike(0, None)


@pytest.fixture
def struck(ledger: Ledger) -> Iterator[execute.Executor]:
    """An executor under a limit that strikes whenever a test says so."""
    executor = ledger.worker(time_limit_errors=(SoftTimeLimitExceeded,), strikes=limits.Strikes())
    with limits.believed(0.0):
        yield executor


@pytest.mark.parametrize("careful", [False, True])
def test_a_limit_that_strikes_in_the_claim_gives_the_ticket_back(
    ledger: Ledger, struck: execute.Executor, monkeypatch: pytest.MonkeyPatch, careful: bool
) -> None:
    calls: list[int] = []
    strikes: list[bool] = []
    ledger.handler("a.b", lambda payload, ctx: calls.append(payload))
    ledger.post("a.b", 1, 2)
    original = works.Work.claim

    def claim(self: works.Work, *given: Any) -> Any:
        found = original(self, *given)
        if strikes:
            strikes.clear()
            strike()
        return found

    monkeypatch.setattr(works.Work, "claim", claim)
    for _ in range(execute.CRASHES + 2):
        strikes.append(True)  # One: it would not strike again if the events were then worked one by one.
        with pytest.raises(SoftTimeLimitExceeded):
            struck.execute(dataclasses.replace(ledger.tickets()[0], careful=careful, counted={}))
    assert calls == []
    assert ledger.sql("select distinct state, attempt, crashes from millrace.events") == [("pending", 0, 0)]


@pytest.mark.parametrize("events", [1, 3])
def test_a_limit_that_strikes_in_the_commit_is_no_failure(
    ledger: Ledger, struck: execute.Executor, monkeypatch: pytest.MonkeyPatch, events: int
) -> None:
    ledger.handler("a.b", lambda payload, ctx: ctx.session.execute(sqlalchemy.text(EFFECT)) and None)
    ledger.post("a.b", *range(events))
    original = works.Work.commit

    def commit(self: works.Work) -> None:
        original(self)
        strike()

    monkeypatch.setattr(works.Work, "commit", commit)
    assert struck.execute(ledger.tickets()[0]).words == {"done": events}
    assert (ledger.states(), ledger.balance()) == ({"succeeded": events}, events)
    assert ledger.sql("select count(*) from millrace.attempts") == [(0,)]


def test_a_limit_that_strikes_while_a_failure_is_written_is_that_failure(
    ledger: Ledger, struck: execute.Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest of the ticket goes back: there is no time left for it."""
    monkeypatch.setattr(execute, "CUT", 60.0)
    calls: list[int] = []

    def work(payload: Any, ctx: Any) -> None:
        calls.append(payload)
        raise RuntimeError("no")

    ledger.handler("a.b", work, backoff=LATER)
    first, _ = ledger.post("a.b", 1, 2)
    original = works.Work.finish

    def finish(self: works.Work, *given: Any) -> None:
        original(self, *given)
        strike()

    monkeypatch.setattr(works.Work, "finish", finish)
    with pytest.raises(SoftTimeLimitExceeded):
        struck.execute(dataclasses.replace(ledger.tickets()[0], careful=True))
    assert calls == [1]
    attempts = "select event_id::text, error from millrace.attempts"
    assert ledger.sql(attempts) == [(first, "RuntimeError")]
    assert ledger.sql("select count(*) from millrace.events where state = 'pending' and crashes = 0") == [(2,)]
    ledger.check()


@pytest.mark.parametrize(("elapsed", "crashes"), [(0.0, 0), (25.0, 1)], ids=["a stop", "the hard limit"])
def test_an_end_from_outside_is_a_crash_only_where_it_was_the_hard_limits(
    ledger: Ledger, elapsed: float, crashes: int
) -> None:
    def work(payload: int, ctx: Any) -> None:
        raise SystemExit

    executor = ledger.worker(leaving=lambda: True)
    ledger.handler("a.b", work, attempts=1)
    ledger.post("a.b", 1)
    delivery = dataclasses.replace(ledger.tickets()[0], careful=True, since=time.monotonic() - elapsed)
    with pytest.raises(SystemExit):
        executor.execute(delivery)
    assert ledger.sql("select state, attempt, crashes from millrace.events") == [("pending", 0, crashes)]
