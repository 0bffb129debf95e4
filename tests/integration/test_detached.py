"""Detached handlers: a run under a lease, on a real ledger."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy

from service.application import execute
from service.domain import backoff, errors, outcome
from service.domain import ticket as tickets
from service.ledger import leases
from service.ledger.queries import Queries
from tests.ledgers import EFFECT, Ledger
from tests.patience import PATIENCE, within

pytestmark = pytest.mark.postgres

SOON = backoff.Backoff(base=0.001, cap=0.001)
LATER = "update millrace.events set lease_until = clock_timestamp() - interval '1 second' where state = 'running'"
ASK_TO_STOP = "update millrace.events set cancel_at = clock_timestamp() where state = 'running'"


@pytest.fixture
def ledger(database: str) -> Ledger:
    return Ledger(database)


def detached(ledger: Ledger, function: Callable[..., Any], **options: Any) -> None:
    ledger.handler("a.b", function, **{"queue": "reports", "bundle": 1, "detached": True, "backoff": SOON} | options)


def effect(ctx: Any) -> None:
    ctx.session.execute(sqlalchemy.text(EFFECT))


class Held:
    """A handler that stands in mid-run until the test lets it go on."""

    def __init__(self, ledger: Ledger, then: Callable[[Any], Any] = lambda ctx: None, **options: Any) -> None:
        self.ledger = ledger
        self.then = then
        self.runs: list[int] = []  #: the attempts' numbers
        self.gates: list[threading.Event] = []
        self.inside = threading.Semaphore(0)
        self.reports: list[Any] = []
        detached(ledger, self._work, **options)

    def _work(self, payload: Any, ctx: Any) -> Any:
        gate = threading.Event()
        self.runs.append(ctx.attempt)
        self.gates.append(gate)
        self.inside.release()
        assert gate.wait(20)
        return self.then(ctx)

    def run(self, delivery: tickets.Delivery, **options: Any) -> Callable[[], None]:
        """Deliver to a worker of its own, and wait until the handler stands; what lets it go on to its end."""
        executor = self.ledger.worker(**options)
        thread = threading.Thread(target=lambda: self.reports.append(executor.execute(delivery)), daemon=True)
        thread.start()
        assert self.inside.acquire(timeout=10 * PATIENCE)
        gate = self.gates[-1]

        def end() -> None:
            gate.set()
            thread.join(20)
            assert not thread.is_alive()

        return end


@pytest.fixture
def held(ledger: Ledger) -> Iterator[Held]:
    found = Held(ledger)
    yield found
    for gate in found.gates:
        gate.set()


def event(ledger: Ledger, *columns: str) -> Any:
    [row] = ledger.sql(f"select {', '.join(columns)} from millrace.events")
    return row if len(columns) > 1 else row[0]


def test_a_run_is_committed_as_running_with_a_ticket_that_is_due_when_its_lease_ends(held: Held) -> None:
    ledger = held.ledger
    ledger.post("a.b", 1)
    [first] = ledger.tickets()
    end = held.run(first, lease=60.0)
    assert event(ledger, "state", "attempt") == ("running", 1)
    assert event(ledger, "lease_until - clock_timestamp() between interval '50 s' and interval '60 s'")
    rows = ledger.sql(
        "select t.id::text, t.due_at = e.lease_until, t.published_at, t.queue, t.routing_key"
        " from millrace.tickets t join millrace.events e on t.id = e.ticket_id"
    )
    assert [row[1:] for row in rows] == [(True, None, "reports", "reports.a.b")]
    assert rows[0][0] != first.ticket
    ledger.check()
    end()
    assert event(ledger, "state", "attempt", "lease_until") == ("succeeded", 1, None)
    assert ledger.tickets() == []
    assert held.reports[0].words == {"done": 1}
    ledger.check()


def test_a_run_holds_no_transaction(held: Held) -> None:
    held.ledger.post("a.b", 1)
    end = held.run(held.ledger.tickets()[0])
    open_ones = held.ledger.sql(
        "select count(*) from pg_stat_activity where datname = current_database() and state like 'idle in%'"
    )
    end()
    assert open_ones == [(0,)]


def test_a_lease_and_its_ticket_are_renewed(held: Held) -> None:
    ledger = held.ledger
    ledger.post("a.b", 1)
    end = held.run(ledger.tickets()[0], lease=1.0)
    first = event(ledger, "lease_until")
    ledger.until(lambda: event(ledger, "lease_until") - first > datetime.timedelta(seconds=1.5))
    assert event(ledger, "lease_until > clock_timestamp()")
    assert ledger.sql("select bool_and(t.due_at = e.lease_until) from millrace.tickets t, millrace.events e") == [
        (True,)
    ]
    end()
    assert ledger.states() == {"succeeded": 1}


@pytest.mark.parametrize("which", ["the first ticket", "the ticket of the run"])
def test_a_delivery_that_finds_a_live_lease_does_nothing(held: Held, which: str) -> None:
    ledger = held.ledger
    ledger.post("a.b", 1)
    [first] = ledger.tickets()
    end = held.run(first, lease=60.0)
    [second] = ledger.tickets()
    again = ledger.worker().execute(first if which == "the first ticket" else second)
    assert again.words == {"skipped": 1}
    assert event(ledger, "state", "attempt", "crashes") == ("running", 1, 0)
    rows = ledger.sql("select t.due_at >= e.lease_until, t.published_at from millrace.tickets t, millrace.events e")
    assert rows == [(True, None)]
    end()
    assert (held.runs, ledger.states()) == ([1], {"succeeded": 1})


@pytest.mark.fault(24)
def test_a_lost_run_is_taken_over_as_a_crash_and_not_as_an_attempt(ledger: Ledger) -> None:
    seen = []

    def work(payload: Any, ctx: Any) -> None:
        seen.append((ctx.attempt, ctx.event.crashes, ctx.idempotency_key))

    detached(ledger, work, attempts=1)
    [event_id] = ledger.post("a.b", 1)
    lose(ledger)
    [report] = ledger.work()
    assert report.words == {"done": 1}
    assert seen == [(1, 1, event_id)]
    assert event(ledger, "state", "attempt", "crashes") == ("succeeded", 1, 0)
    ledger.check()


def lose(ledger: Ledger) -> None:
    """A run begins, and its worker is lost: nobody renews its lease."""

    class Died(BaseException):
        pass

    executor = ledger.worker()
    executor._work_through = lambda *_: (_ for _ in ()).throw(Died)  # type: ignore[method-assign]
    [delivery] = ledger.tickets()
    with contextlib.suppress(Died):
        executor.execute(delivery)
    ledger.sql(LATER)


@pytest.mark.fault(29)
def test_an_event_that_loses_its_worker_again_and_again_is_a_dead_letter(ledger: Ledger) -> None:
    detached(ledger, lambda payload, ctx: None)
    ledger.post("a.b", 1)
    for crashes in range(execute.CRASHES + 1):
        lose(ledger)
        assert event(ledger, "state", "attempt", "crashes") == ("running", 1, crashes)
        ledger.check()
    [report] = ledger.work()
    assert report.words == {"dead": 1}
    assert event(ledger, "state", "attempt") == ("dead", 0)
    assert ledger.sql("select reason from millrace.dead") == [("worker_lost",)]
    assert ledger.tickets() == []
    ledger.check()


@pytest.mark.parametrize("what", ["returns", "raises", "answers", "commits"])
def test_what_a_run_says_after_another_took_over_changes_nothing(ledger: Ledger, what: str) -> None:
    def then(ctx: Any) -> Any:
        if what == "raises":
            raise RuntimeError
        if what == "commits":
            ctx.session.execute(sqlalchemy.text(EFFECT))
        return outcome.Discard("from a zombie") if what == "answers" else "from a zombie"

    held = Held(ledger, then)
    ledger.post("a.b", 1)
    end_zombie = held.run(ledger.tickets()[0], lease=3600.0)  # It renews nothing, as a process that is stopped.
    ledger.sql(LATER)
    end_heir = held.run(ledger.tickets()[0], lease=3600.0)
    before = event(ledger, "state", "attempt", "crashes", "ticket_id", "lease_until")
    assert before[:3] == ("running", 1, 1)
    end_zombie()
    assert event(ledger, "state", "attempt", "crashes", "ticket_id", "lease_until") == before
    held.then = lambda ctx: None
    end_heir()
    assert [r.words for r in held.reports] == [{"skipped": 1}, {"done": 1}]
    assert event(ledger, "state", "attempt", "result") == ("succeeded", 1, None)
    assert ledger.balance() == 0
    assert ledger.sql("select count(*) from millrace.attempts") == [(0,)]
    ledger.check()


@pytest.mark.parametrize("call", ["session", "progress", "check"])
def test_a_run_that_lost_its_lease_is_told_at_its_next_call(ledger: Ledger, call: str) -> None:
    told = []

    def work(payload: Any, ctx: Any) -> None:
        ledger.sql("update millrace.events set ticket_id = gen_random_uuid()")
        calls = {"session": lambda: ctx.session, "progress": lambda: ctx.progress(0.5), "check": ctx.check}
        with pytest.raises(errors.LeaseLost) as caught:
            calls[call]()
        told.append(call)
        raise caught.value

    detached(ledger, work)
    ledger.post("a.b", 1)
    [report] = ledger.work()
    assert told == [call]
    assert report.words == {"skipped": 1}
    assert ledger.states() == {"running": 1}


def test_a_lease_that_ended_while_nobody_could_be_asked_is_lost(ledger: Ledger) -> None:
    executor = ledger.worker(lease=1.0)

    def away(*_: Any) -> Any:
        raise errors.LedgerUnavailable

    def work(payload: Any, ctx: Any) -> None:
        ctx.check()
        executor._leases.renew = away  # type: ignore[method-assign]
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            ctx.check()
            time.sleep(0.05)

    detached(ledger, work)
    ledger.post("a.b", 1)
    begin = time.monotonic()
    with within(5):
        assert executor.execute(ledger.tickets()[0]).words == {"skipped": 1}
    assert time.monotonic() - begin > 0.9


def test_progress_is_shown_and_stored_at_most_once_a_second(ledger: Ledger) -> None:
    queries = Queries(ledger.engine)
    seen = []

    def work(payload: Any, ctx: Any) -> None:
        for number in range(100):
            ctx.progress(number / 100, f"part {number}\0")
        found = queries.find(ctx.event.id)
        assert found is not None
        seen.append(found["progress"])

    detached(ledger, work)
    [event_id] = ledger.post("a.b", 1)
    ledger.work()
    assert json.loads(seen[0])["message"] == "part 0�"  # The first was stored; the others waited.
    progress = event(ledger, "progress")
    assert (progress["fraction"], progress["message"]) == (0.99, "part 99�")  # The last was not lost.
    assert set(progress) == {"fraction", "message", "at"}
    assert event(ledger, "id::text") == event_id


def test_the_last_progress_is_stored_by_the_thread_when_the_handler_is_silent(held: Held) -> None:
    ledger = held.ledger

    def then(ctx: Any) -> None:
        ctx.progress(0.1)
        ctx.progress(0.2, "reading")
        ledger.until(lambda: (event(ledger, "progress") or {}).get("message") == "reading")

    held.then = then
    ledger.post("a.b", 1)
    held.run(ledger.tickets()[0], lease=600.0)()
    assert ledger.states() == {"succeeded": 1}


@pytest.mark.parametrize("wrong", [-0.1, 1.1, float("nan")])
def test_progress_that_is_no_fraction_is_refused(ledger: Ledger, wrong: float) -> None:
    detached(ledger, lambda payload, ctx: ctx.progress(wrong), attempts=1)
    ledger.post("a.b", 1)
    ledger.work()
    assert ledger.sql("select error from millrace.attempts") == [("ValueError",)]


def test_what_was_not_committed_is_committed_with_the_outcome(ledger: Ledger) -> None:
    def work(payload: str, ctx: Any) -> str:
        effect(ctx)
        ctx.session.commit()
        effect(ctx)
        if payload == "fails":
            raise RuntimeError
        return "ok"

    detached(ledger, work, attempts=1)
    ledger.post("a.b", "works", "fails")
    ledger.work()
    assert ledger.balance() == 3
    assert ledger.states() == {"succeeded": 1, "dead": 1}


def test_a_fault_that_shows_at_the_last_commit_is_a_failed_attempt(ledger: Ledger) -> None:
    ledger.sql("create table once (n int unique deferrable initially deferred); insert into once values (1)")

    def work(payload: int, ctx: Any) -> None:
        ctx.session.execute(sqlalchemy.text("insert into once values (1)"))

    detached(ledger, work, attempts=1)
    ledger.post("a.b", 1)
    assert ledger.work()[0].words == {"dead": 1}
    assert ledger.sql("select error from millrace.attempts") == [("IntegrityError",)]
    ledger.check()


def test_a_detached_handler_answers_in_words(ledger: Ledger) -> None:
    answers: dict[str, Any] = {
        "retry": outcome.Retry(after=50), "discard": outcome.Discard("no"), "snooze": outcome.Snooze(seconds=60),
        "nothing": None,
    }  # fmt: skip
    detached(ledger, lambda payload, ctx: answers[payload])
    ledger.post("a.b", *answers)
    words = [word for report in ledger.work() for word in report.words]
    assert sorted(words) == ["dead", "done", "retry", "snoozed"]
    rows = ledger.sql("select payload #>> '{}', state, attempt, lease_until from millrace.events order by 1")
    assert rows == [
        ("discard", "dead", 1, None), ("nothing", "succeeded", 1, None), ("retry", "pending", 1, None),
        ("snooze", "pending", 0, None),
    ]  # fmt: skip
    assert len(ledger.tickets()) == 2
    ledger.check()


def test_attempts_are_counted_and_the_last_makes_a_dead_letter(ledger: Ledger) -> None:
    detached(ledger, lambda payload, ctx: 1 / 0, attempts=2)
    ledger.post("a.b", 1)
    assert [ledger.work()[0].words for _ in range(2)] == [{"retry": 1}, {"dead": 1}]
    assert ledger.sql("select attempt, error from millrace.attempts order by 1") == [
        (1, "ZeroDivisionError"), (2, "ZeroDivisionError"),
    ]  # fmt: skip
    assert event(ledger, "attempt") == 2
    ledger.check()


def test_an_event_that_expired_is_not_run(ledger: Ledger) -> None:
    detached(ledger, lambda payload, ctx: pytest.fail("it was run"))
    ledger.post("a.b", 1)
    ledger.sql("update millrace.events set expires_at = now()")
    assert ledger.work()[0].words == {"expired": 1}
    assert (ledger.states(), ledger.tickets()) == ({"expired": 1}, [])
    ledger.check()


@pytest.mark.parametrize("call", ["progress", "check"])
def test_a_run_that_looks_is_cancelled_at_its_next_call(ledger: Ledger, call: str) -> None:
    undone = []

    def work(payload: Any, ctx: Any) -> None:
        effect(ctx)
        ledger.sql(ASK_TO_STOP)
        try:
            while True:
                ctx.progress(0.5) if call == "progress" else ctx.check()
                time.sleep(0.05)
        except errors.Cancelled:
            undone.append(ctx.cancelled)
            raise

    detached(ledger, work)
    ledger.post("a.b", 1)
    assert ledger.work()[0].words == {"cancelled": 1}
    assert undone == [True]
    assert (ledger.states(), ledger.balance(), ledger.tickets()) == ({"cancelled": 1}, 0, [])
    ledger.check()


def test_a_cancelled_run_that_fails_is_not_tried_again_and_one_that_succeeds_has_succeeded(ledger: Ledger) -> None:
    def work(payload: str, ctx: Any) -> None:
        ledger.sql(ASK_TO_STOP)
        if payload == "fails":
            raise RuntimeError

    detached(ledger, work)
    ledger.post("a.b", "fails", "succeeds")
    ledger.work()
    assert ledger.states() == {"cancelled": 1, "succeeded": 1}
    ledger.check()


def test_a_cancelled_run_whose_worker_was_lost_is_cancelled_by_whoever_takes_it_over(ledger: Ledger) -> None:
    detached(ledger, lambda payload, ctx: pytest.fail("it was run"))
    ledger.post("a.b", 1)
    lose(ledger)
    ledger.sql(ASK_TO_STOP)
    assert ledger.work()[0].words == {"cancelled": 1}
    assert ledger.states() == {"cancelled": 1}
    ledger.check()


@pytest.mark.parametrize("why", ["cancelled", "retiring"])
def test_a_run_that_does_not_look_is_ended_after_its_grace(held: Held, why: str) -> None:
    """In a test the process is not killed: what would be left in the ledger is looked at."""
    ledger, ended = held.ledger, threading.Event()
    ledger.post("a.b", 1)
    options: dict[str, Any] = {"end_process": ended.set, "grace": 0.3, "lease": 1.0}
    if why == "retiring":
        options["retiring"] = lambda: True
    end = held.run(ledger.tickets()[0], **options)
    begin = time.monotonic()
    if why == "cancelled":
        ledger.sql(ASK_TO_STOP)
    assert ended.wait(10 * PATIENCE)
    if why == "cancelled":
        assert time.monotonic() - begin >= 0.3
        assert (ledger.states(), ledger.tickets()) == ({"cancelled": 1}, [])
    else:
        assert event(ledger, "state", "attempt", "crashes") == ("pending", 0, 0)
        assert ledger.sql("select due_at <= clock_timestamp() from millrace.tickets") == [(True,)]
    ledger.check()
    end()  # Its outcome is refused.
    assert held.reports[0].words == {"skipped": 1}
    ledger.check()


def test_a_worker_that_must_end_gives_its_run_back(ledger: Ledger) -> None:
    def work(payload: Any, ctx: Any) -> None:
        raise SystemExit

    detached(ledger, work)
    ledger.post("a.b", 1)
    with pytest.raises(SystemExit):
        ledger.worker(leaving=lambda: True).execute(ledger.tickets()[0])
    assert event(ledger, "state", "attempt", "crashes") == ("pending", 0, 0)
    assert ledger.sql("select due_at <= clock_timestamp() from millrace.tickets") == [(True,)]
    ledger.check()


def test_a_ledger_that_goes_away_in_the_middle_costs_no_attempt(ledger: Ledger) -> None:
    def work(payload: Any, ctx: Any) -> None:
        pid = ctx.session.execute(sqlalchemy.text("select pg_backend_pid()")).scalar_one()
        ledger.sql("select pg_terminate_backend(%s)", pid)
        effect(ctx)

    detached(ledger, work, attempts=1)
    ledger.post("a.b", 1)
    assert ledger.work()[0].words == {"skipped": 1}
    assert event(ledger, "state", "attempt", "crashes") == ("pending", 0, 0)
    ledger.check()


def test_a_transaction_that_its_handler_left_open_for_too_long_is_a_failed_attempt(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "IDLE", 0.05)

    def work(payload: Any, ctx: Any) -> None:
        effect(ctx)
        time.sleep(0.5)
        effect(ctx)

    detached(ledger, work, attempts=1)
    ledger.post("a.b", 1)
    assert ledger.work()[0].words == {"dead": 1}


def test_an_outcome_waits_for_the_ledger(ledger: Ledger) -> None:
    executor = ledger.worker()
    real, tries = executor._leases.work, []

    def away(*given: Any) -> Any:
        tries.append(given)
        if len(tries) < 3:
            raise errors.LedgerUnavailable
        return real(*given)

    def work(payload: Any, ctx: Any) -> str:
        effect(ctx)
        ctx.session.commit()
        executor._leases.work = away  # type: ignore[method-assign]
        return "hours of work"

    detached(ledger, work)
    ledger.post("a.b", 1)
    assert executor.execute(ledger.tickets()[0]).words == {"done": 1}
    assert (event(ledger, "result"), ledger.balance(), len(tries)) == ("hours of work", 1, 3)


def test_a_bundle_from_before_its_handler_was_detached_is_taken_apart(ledger: Ledger) -> None:
    ledger.handler("a.b", lambda payload, ctx: None)
    ledger.post("a.b", 1, 2, 3)
    assert len(ledger.tickets()) == 1
    ledger.registry._handlers.clear()
    detached(ledger, lambda payload, ctx: None)
    assert ledger.work()[0].words == {"skipped": 3}
    assert [(len(t.event_ids), t.queue) for t in ledger.tickets()] == [(1, "reports")] * 3
    ledger.check()
    ledger.work()
    assert ledger.states() == {"succeeded": 3}


def test_a_tick_is_moved_to_the_handlers_own_queue(ledger: Ledger) -> None:
    detached(ledger, lambda payload, ctx: None)
    ledger.post("a.b", 1)
    [delivery] = ledger.tickets()
    assert ledger.executor.execute(dataclasses.replace(delivery, queue="periodic")).words == {"skipped": 1}
    assert event(ledger, "state", "attempt") == ("pending", 0)
    [moved] = ledger.tickets()
    assert (moved.queue, moved.ticket == delivery.ticket) == ("reports", False)
    ledger.work()
    assert ledger.states() == {"succeeded": 1}


def test_a_run_that_was_lost_before_its_handler_became_atomic_is_worked(ledger: Ledger) -> None:
    detached(ledger, lambda payload, ctx: None)
    ledger.post("a.b", 1)
    lose(ledger)
    ledger.registry._handlers.clear()
    ledger.handler("a.b", lambda payload, ctx: effect(ctx))
    assert ledger.work()[0].words == {"skipped": 1}
    ledger.check()
    assert ledger.work()[0].words == {"done": 1}
    assert event(ledger, "state", "attempt") == ("succeeded", 1)
    assert ledger.balance() == 1


def test_an_event_whose_row_is_locked_is_looked_at_again_soon(ledger: Ledger) -> None:
    detached(ledger, lambda payload, ctx: None)
    ledger.post("a.b", 1)
    [delivery] = ledger.tickets()
    with ledger.engine.get().begin() as connection:
        connection.exec_driver_sql("select from millrace.events for no key update")
        assert ledger.executor.execute(delivery).words == {"skipped": 1}
    [(wait,)] = ledger.sql("select extract(epoch from due_at - clock_timestamp())::float8 from millrace.tickets")
    assert 5 < wait <= 10
    ledger.work()
    assert ledger.states() == {"succeeded": 1}
