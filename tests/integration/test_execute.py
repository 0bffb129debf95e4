"""Execute: what becomes of a ticket's events, on a real ledger."""

from __future__ import annotations

import dataclasses
import datetime
import threading
import time
from typing import Any

import pytest
import sqlalchemy

from service.application import execute
from service.domain import backoff, errors, outcome
from service.ledger import work as work_ledger
from tests.ledgers import EFFECT, Ledger
from tests.patience import PATIENCE

pytestmark = pytest.mark.postgres

SOON = backoff.Backoff(base=0.001, cap=0.001)


@pytest.fixture
def ledger(database: str) -> Ledger:
    return Ledger(database)


def effect(ctx: Any) -> None:
    ctx.session.execute(sqlalchemy.text(EFFECT))
    ctx.session.execute(sqlalchemy.text("insert into effects values (:id)"), {"id": ctx.event.id})


def add(payload: Any, ctx: Any) -> None:
    effect(ctx)


def test_a_bundle_is_worked_in_one_transaction_and_its_ticket_is_gone(ledger: Ledger) -> None:
    transactions = set()

    def work(payload: int, ctx: Any) -> int:
        effect(ctx)
        transactions.add(ctx.session.execute(sqlalchemy.text("select pg_current_xact_id()::text")).scalar_one())
        return payload * 2

    ledger.handler("a.b", work)
    ids = ledger.post("a.b", 1, 2, 3)
    [report] = ledger.work()
    assert report.words == {"done": 3}
    assert len(report.runs) == len(report.latencies) == 3
    assert len(transactions) == 1
    assert ledger.sql("select id::text, result from millrace.events") == list(zip(ids, (2, 4, 6), strict=True))
    assert (ledger.balance(), ledger.states(), ledger.tickets()) == (3, {"succeeded": 3}, [])
    ledger.check()


@pytest.mark.fault(34)
def test_a_ticket_delivered_again_finds_nothing_open(ledger: Ledger) -> None:
    ledger.handler("a.b", add)
    ledger.post("a.b", 1, 2)
    [delivery] = ledger.tickets()
    ledger.executor.execute(delivery)
    for careful in (False, True):
        again = ledger.executor.execute(dataclasses.replace(delivery, careful=careful))
        assert again.words == {"skipped": 2}
    assert ledger.balance() == 2


def test_the_one_that_fails_takes_nobody_along(ledger: Ledger) -> None:
    def work(payload: int, ctx: Any) -> None:
        effect(ctx)
        if payload == 7:
            raise ValueError("seven\0\ud800")

    ledger.handler("a.b", work, attempts=2, backoff=SOON)
    ledger.post("a.b", *range(20))
    [report] = ledger.work()
    assert report.words == {"done": 19, "retry": 1}
    assert (ledger.balance(), ledger.states()) == (19, {"succeeded": 19, "pending": 1})
    ledger.check()
    [report] = ledger.work()
    assert report.words == {"dead": 1}
    assert (ledger.balance(), ledger.states()) == (19, {"succeeded": 19, "dead": 1})
    assert ledger.sql("select reason from millrace.dead") == [("attempts",)]
    kept = ledger.sql("select attempt, error, message, traceback from millrace.attempts order by attempt")
    assert [row[:3] for row in kept] == [(1, "ValueError", "seven�?"), (2, "ValueError", "seven�?")]
    assert all("raise ValueError" in row[3] for row in kept)
    ledger.check()


@pytest.mark.parametrize("error", [LookupError, KeyError])
def test_an_error_that_is_not_retried_makes_a_dead_letter_at_once(ledger: Ledger, error: type[Exception]) -> None:
    def work(payload: int, ctx: Any) -> None:
        effect(ctx)
        if payload == 1:
            raise error("gone for good")

    ledger.handler("a.b", work, attempts=5, no_retry=(LookupError,))
    ledger.post("a.b", 0, 1)
    [report] = ledger.work()
    assert report.words == {"done": 1, "dead": 1}
    assert (ledger.balance(), ledger.sql("select reason from millrace.dead")) == (1, [("no_retry",)])
    assert ledger.sql("select attempt, error from millrace.attempts") == [(1, error.__name__)]
    ledger.check()


def test_a_fault_that_shows_at_the_commit_only_is_a_failed_attempt_of_its_event_alone(ledger: Ledger) -> None:
    ledger.sql("create table once (n int unique deferrable initially deferred)")

    def work(payload: int, ctx: Any) -> None:
        effect(ctx)
        ctx.session.execute(sqlalchemy.text("insert into once values (:n)"), {"n": payload})

    ledger.handler("a.b", work, attempts=1)
    ledger.post("a.b", 1, 2, 2, 3)
    [report] = ledger.work()
    assert report.words == {"done": 3, "dead": 1}
    assert ledger.balance() == 3
    assert ledger.sql("select error from millrace.attempts") == [("IntegrityError",)]
    ledger.check()


@pytest.mark.parametrize("call", ["commit", "rollback", "close"])
@pytest.mark.parametrize("count", [1, 5])
def test_what_a_handler_does_to_its_session_breaks_nothing(ledger: Ledger, call: str, count: int) -> None:
    def work(payload: int, ctx: Any) -> None:
        if payload == 2:
            effect(ctx)
            getattr(ctx.session, call)()
        if payload != 2 or call == "rollback":
            effect(ctx)  # What is done after a rollback counts; what was done before it is undone.

    ledger.handler("a.b", work)
    ledger.post("a.b", *range(2, 2 + count))
    [report] = ledger.work()
    assert report.words == {"done": count}
    assert ledger.balance() == count
    ledger.check()


def test_a_session_used_as_a_context_keeps_its_work_and_loses_it_to_an_exception(ledger: Ledger) -> None:
    def work(payload: str, ctx: Any) -> None:
        try:
            with ctx.session:
                effect(ctx)
                if payload == "fails":
                    raise KeyError
        except KeyError:
            pass

    ledger.handler("a.b", work)
    ledger.post("a.b", "works", "fails", "works")
    ledger.work()
    assert (ledger.balance(), ledger.states()) == (2, {"succeeded": 3})


def test_a_long_bundle_is_cut_and_its_rest_is_due_at_once(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execute, "CUT", 0.0)
    ledger.handler("a.b", add)
    ledger.post("a.b", *range(5))
    for left in (4, 3, 2, 1, 0):
        [report] = ledger.work()
        assert report.words == {"done": 1}
        open_ids = [i for t in ledger.tickets() for i in t.event_ids]
        assert len(open_ids) == left
        ledger.check()
        assert ledger.sql("select count(*) from millrace.tickets where due_at > clock_timestamp()") == [(0,)]
    assert ledger.balance() == 5


def test_what_another_worker_holds_is_looked_at_again_soon(ledger: Ledger) -> None:
    held, go = threading.Event(), threading.Event()

    def work(payload: int, ctx: Any) -> None:
        effect(ctx)
        held.set()
        assert go.wait(20 * PATIENCE)

    ledger.handler("a.b", work)
    ledger.post("a.b", 1)
    [delivery] = ledger.tickets()
    first = threading.Thread(target=ledger.executor.execute, args=(delivery,))
    first.start()
    assert held.wait(20 * PATIENCE)
    [(before,)] = ledger.sql("select clock_timestamp()")
    again = ledger.executor.execute(delivery)
    assert again.words == {"skipped": 1}
    [(after_it, left)] = ledger.sql("select due_at - %s, due_at - clock_timestamp() from millrace.tickets", before)
    assert left <= datetime.timedelta(seconds=work_ledger.LOCKED_ELSEWHERE) <= after_it
    go.set()
    first.join(20 * PATIENCE)
    assert (ledger.balance(), ledger.tickets()) == (1, [])


def test_a_publisher_that_marks_late_does_not_hide_a_cut(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execute, "CUT", 0.0)
    ledger.handler("a.b", add)
    ledger.post("a.b", 1, 2)
    [delivery] = ledger.tickets()
    ledger.executor.execute(delivery)
    ledger.publisher.give_back([(delivery.ticket, 0)])
    ledger.post("a.b", 3)  # A flush marks what was confirmed.
    assert not ledger.publisher.has_marks()
    due = ledger.sql("select due_at <= clock_timestamp() from millrace.tickets where id = %s", delivery.ticket)
    assert due == [(True,)]


def test_a_careful_turn_counts_the_crash_before_the_run_and_success_clears_it(ledger: Ledger) -> None:
    seen = []

    def work(payload: int, ctx: Any) -> None:
        seen.append(ledger.sql("select crashes from millrace.events where id = %s", ctx.event.id)[0][0])

    ledger.handler("a.b", work)
    ledger.post("a.b", 1, 2)
    [delivery] = ledger.tickets()
    ledger.executor.execute(dataclasses.replace(delivery, careful=True))
    assert seen == [1, 1]
    assert ledger.sql("select distinct crashes, state from millrace.events") == [(0, "succeeded")]


@pytest.mark.fault(29)
def test_too_many_crashes_make_a_dead_letter_and_the_others_succeed(ledger: Ledger) -> None:
    ledger.handler("a.b", add)
    ids = ledger.post("a.b", 1, 2, 3)
    ledger.sql("update millrace.events set crashes = %s where id = %s", execute.CRASHES, ids[1])
    [delivery] = ledger.tickets()
    report = ledger.executor.execute(dataclasses.replace(delivery, careful=True))
    assert report.words == {"done": 2, "dead": 1}
    assert ledger.sql("select event_id::text, reason from millrace.dead") == [(ids[1], "worker_lost")]
    assert (ledger.balance(), ledger.tickets()) == (2, [])
    ledger.check()


def test_handlers_answer_in_words(ledger: Ledger) -> None:
    later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)
    answers: dict[str, Any] = {
        "retry": outcome.Retry(after=50),
        "discard": outcome.Discard("not wanted"),
        "snooze": outcome.Snooze(later),
        "nothing": None,
    }

    def work(payload: str, ctx: Any) -> Any:
        effect(ctx)
        if payload == "snooze":
            raise answers[payload]  # Raised or returned: the same.
        return answers[payload]

    ledger.handler("a.b", work)
    ledger.post("a.b", *answers)
    [report] = ledger.work()
    assert report.words == {"retry": 1, "dead": 1, "snoozed": 1, "done": 1}
    assert ledger.balance() == 1  # Only a returned value commits its effects.
    rows = dict(ledger.sql("select payload #>> '{}', attempt from millrace.events"))
    assert rows == {"retry": 1, "discard": 1, "snooze": 0, "nothing": 1}
    assert ledger.sql("select reason from millrace.dead") == [("discarded",)]
    waits = ledger.sql(
        "select payload #>> '{}', round(extract(epoch from run_at - clock_timestamp()))::int from millrace.events"
        " where state = 'pending' order by 1"
    )
    assert [
        (name, pytest.approx(seconds, abs=3 * PATIENCE)) for name, seconds in [("retry", 50), ("snooze", 3600)]
    ] == waits
    ledger.check()


@pytest.mark.parametrize("result", [float("nan"), object(), {1, 2}])
def test_a_result_that_is_no_json_is_a_failed_attempt(ledger: Ledger, result: Any) -> None:
    def work(payload: int, ctx: Any) -> Any:
        effect(ctx)
        return result

    ledger.handler("a.b", work, attempts=1)
    ledger.post("a.b", 1, 2)
    [report] = ledger.work()
    assert report.words == {"dead": 2}
    assert ledger.balance() == 0


def test_a_payload_that_does_not_fit_the_model_is_dead_at_once(ledger: Ledger) -> None:
    def parse(payload: Any) -> Any:
        if payload < 0:
            raise errors.InvalidEvent([errors.Fault("/n", "must be positive")])
        return payload

    ledger.handler("a.b", add, parse=parse)
    ledger.post("a.b", 1, -1, 2)
    [report] = ledger.work()
    assert report.words == {"done": 2, "dead": 1}
    assert ledger.sql("select reason from millrace.dead") == [("invalid",)]
    assert ledger.sql("select message from millrace.attempts") == [("/n: must be positive",)]


def test_a_bulk_handler_is_given_the_list_and_one_bad_event_falls_out(ledger: Ledger) -> None:
    sizes = []

    def work(events: list[Any], ctx: Any) -> None:
        sizes.append(len(events))
        for one in events:
            ctx.session.execute(sqlalchemy.text(EFFECT))
            if one.payload == 3:
                raise ValueError

    ledger.handler("a.b", work, bulk=True, attempts=1)
    ledger.post("a.b", *range(5))
    [report] = ledger.work()
    assert report.words == {"done": 4, "dead": 1}
    assert sizes == [5, 1, 1, 1, 1, 1]
    assert ledger.balance() == 4


def test_an_event_that_is_too_late_expires_unworked(ledger: Ledger) -> None:
    ledger.handler("a.b", add)
    ledger.post("a.b", 1, expires_at=datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1))
    ledger.sql("update millrace.events set expires_at = now() - interval '1 s'")  # A day later.
    ledger.post("a.b", 2)
    words = [r.words for r in ledger.work()]
    assert words == [{"expired": 1}, {"done": 1}]
    assert (ledger.balance(), ledger.states()) == (1, {"expired": 1, "succeeded": 1})
    ledger.check()


@pytest.mark.fault(23)
def test_a_fault_of_the_infrastructure_uses_up_no_attempt(ledger: Ledger) -> None:
    def work(payload: int, ctx: Any) -> None:
        effect(ctx)
        victim = ctx.session.execute(sqlalchemy.text("select pg_backend_pid()")).scalar_one()
        ledger.sql("select pg_terminate_backend(%s)", victim)
        effect(ctx)

    ledger.handler("a.b", work)
    ledger.post("a.b", 1, 2)
    [delivery] = ledger.tickets()
    with pytest.raises(errors.LedgerUnavailable):
        ledger.executor.execute(delivery)
    assert ledger.sql("select distinct attempt, crashes, state from millrace.events") == [(0, 0, "pending")]
    assert ledger.balance() == 0
    ledger.check()


@pytest.mark.fault(28)
def test_the_server_ends_a_transaction_that_its_worker_left_idle(ledger: Ledger) -> None:
    limits = []

    def work(payload: int, ctx: Any) -> None:
        limits.append(ctx.session.execute(sqlalchemy.text("show idle_in_transaction_session_timeout")).scalar_one())

    ledger.handler("a.b", work, hard_limit=5.0)
    ledger.post("a.b", 1)
    ledger.work()
    assert limits == ["15s"]


def test_an_old_message_of_a_retried_event_does_not_find_it_before_its_time(ledger: Ledger) -> None:
    def work(payload: int, ctx: Any) -> Any:
        effect(ctx)
        return outcome.Retry(after=60)

    ledger.handler("a.b", work)
    ledger.post("a.b", 1)
    [delivery] = ledger.tickets()
    ledger.executor.execute(delivery)
    assert ledger.executor.execute(delivery).words == {"skipped": 1}
    assert ledger.sql("select attempt from millrace.events") == [(1,)]
    ledger.check()


def test_times_are_measured_from_acceptance_and_from_the_instant_when_it_was_due(ledger: Ledger) -> None:
    ledger.handler("a.slow", lambda payload, ctx: time.sleep(0.3))
    ledger.post("a.slow", 1, 2)
    (report,) = ledger.work()
    first, second = report.latencies
    assert min(first, second) >= 0.6, "the time in the handlers of a bundle is part of the time to its commit"
    # Some time passes between a claim's two rows on a machine that is busy.
    assert report.waits[1] >= report.waits[0] + 0.2, "the second of a bundle waits for the first"

    ledger.post("a.slow", 3, delay=0.5)
    time.sleep(0.6)
    (report,) = ledger.work()
    assert report.latencies[0] >= 0.9, "with the delay that was asked for"
    assert report.waits[0] < report.latencies[0] - 0.7, "without it"


def test_a_report_names_the_trace_of_the_slowest_event(ledger: Ledger) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    ledger.handler("a.traced", add)
    ledger.post("a.traced", 1, traceparent=trace)
    (report,) = ledger.work()
    assert report.trace == trace
