"""What is due goes out: once, in turns, and again on evidence only."""

from __future__ import annotations

import concurrent.futures

import pytest

from service.application.publish import Release
from tests.ledgers import Ledger, a_release, due_now
from tests.patience import PATIENCE

pytestmark = pytest.mark.postgres


def test_what_is_due_is_taken_once_by_any_number_of_clocks(ledger: Ledger) -> None:
    ledger.post("a.a", *range(100))
    due_now(ledger)
    clocks = [a_release(ledger) for _ in range(4)]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        taken = [due.ticket.id for found in pool.map(lambda c: c.take_due(40, 600.0), clocks) for due in found]
    taken += [due.ticket.id for due in clocks[0].take_due(100, 600.0)]
    assert len(taken) == len(set(taken)) == 100
    assert clocks[0].take_due(100, 600.0) == []


def test_types_take_turns_when_more_is_due_than_fits(ledger: Ledger) -> None:
    ledger.post("a.a", *range(300))
    ledger.post("a.b", *range(10))
    ledger.post("a.c", *range(10))
    due_now(ledger)
    found = [due.ticket.type for due in a_release(ledger).take_due(60, 10.0)]
    assert {name: found.count(name) for name in set(found)} == {"a.a": 20, "a.b": 10, "a.c": 10}


def test_types_that_have_nothing_due_take_no_turn(ledger: Ledger) -> None:
    ledger.post("a.a", *range(300))
    due_now(ledger)
    ledger.sql(
        "insert into millrace.tickets (id, type, queue, exchange, routing_key, event_ids, due_at)"
        " select gen_random_uuid(), 'a.late_' || n, 'events', 'e', 'k', array[gen_random_uuid()], now() + interval '1h'"
        " from generate_series(1, 20) as n"
    )
    assert len(a_release(ledger).take_due(200, 10.0)) == 200


def test_a_paused_type_and_one_with_a_full_window_wait(ledger: Ledger) -> None:
    ledger.post("a.a", *range(5))
    ledger.post("a.b", *range(5))
    ledger.post("a.c", *range(5))
    due_now(ledger)
    ledger.sql("insert into millrace.types (name, paused_at, out_events) values ('a.a', now(), 0), ('a.b', null, 98)")
    found = [due.ticket.type for due in a_release(ledger, window=100).take_due(60, 10.0)]
    assert {name: found.count(name) for name in set(found)} == {"a.b": 2, "a.c": 5}
    ledger.sql("update millrace.types set paused_at = null, out_events = 100")
    assert a_release(ledger, window=100).take_due(60, 10.0) == []


def test_a_ticket_that_could_not_be_published_is_due_again_at_once(ledger: Ledger) -> None:
    ledger.post("a.a", 1)
    due_now(ledger)
    release = a_release(ledger)
    [due] = release.take_due(10, 60.0)
    release.give_back([(due.ticket.id, due.revision)])
    assert [d.ticket.id for d in release.take_due(10, 60.0)] == [due.ticket.id]


def test_the_patience_doubles_with_every_publication(ledger: Ledger) -> None:
    ledger.post("a.a", 1)
    due_now(ledger)
    release = a_release(ledger, patience=100.0)
    for wanted in (100, 200, 400):
        ledger.sql("update millrace.tickets set published_at = null, due_at = now()")
        [due] = release.take_due(10, 60.0)
        release.mark_out([(due.ticket.id, due.revision)])
        [(wait,)] = ledger.sql("select extract(epoch from due_at - clock_timestamp())::float8 from millrace.tickets")
        assert wanted - 10 * PATIENCE < wait <= wanted


def overdue(ledger: Ledger) -> None:
    ledger.until(lambda: not ledger.sql("select 1 from millrace.tickets where published_at is null"))
    ledger.sql("update millrace.tickets set due_at = now(), published_at = now() - interval '10 min'")


def test_an_overdue_ticket_goes_again_when_its_queue_is_empty(ledger: Ledger) -> None:
    ledger.post("a.a", 1)
    overdue(ledger)
    ready = {"events": 3}
    ledger.broker.ready = ready.__getitem__  # type: ignore[method-assign]
    release = Release(a_release(ledger), ledger.broker)
    ledger.broker.published.clear()
    assert release.run_overdue() == 0
    assert ledger.broker.published == []
    ready["events"] = 0
    assert release.run_overdue() == 1
    assert release.run_overdue() == 0  # It is out again, with fresh patience.


def test_an_overdue_ticket_goes_again_when_a_later_one_was_worked(ledger: Ledger) -> None:
    ledger.post("a.a", 1)
    overdue(ledger)
    release = a_release(ledger)
    mark = (
        "insert into millrace.tallies (minute, type, word, n, queue, mark)"
        " values (now(), 'a.b', 'done', 1, %s, now() - interval %s)"
    )
    ledger.sql(mark, "events", "11 min")  # An earlier one.
    ledger.sql(mark, "periodic", "1 min")  # Another queue.
    assert release.take_overdue("events", False, 10, 10.0) == []
    ledger.sql(mark, "events", "9 min")
    [due] = release.take_overdue("events", False, 10, 10.0)
    assert not due.ticket.careful


def test_on_a_forgetful_broker_a_ticket_that_goes_again_is_worked_carefully(ledger: Ledger) -> None:
    ledger.post("a.a", 1)
    overdue(ledger)
    [due] = a_release(ledger, forgetful=True).take_overdue("events", True, 10, 10.0)
    assert due.ticket.careful


def test_an_overdue_ticket_with_nothing_open_is_dropped(ledger: Ledger) -> None:
    ledger.post("a.a", 1)
    overdue(ledger)
    ledger.sql("update millrace.events set state = 'cancelled'")
    assert a_release(ledger).take_overdue("events", True, 10, 10.0) == []
    assert ledger.tickets() == []
