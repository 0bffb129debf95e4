"""The clock's part of the ledger: releasing tickets, firing slots, upkeep."""

from __future__ import annotations

import concurrent.futures
import datetime
from typing import Any

import pytest

from schedules.calendar import Cron, Interval
from service.application import returned
from service.application.publish import Release
from service.domain import schedules
from service.domain import ticket as tickets
from service.ledger import engine as engines
from service.ledger.release import ReleaseLedger
from service.ledger.slots import SlotLedger
from service.ledger.upkeep import Upkeep
from tests.ledgers import Ledger

pytestmark = pytest.mark.postgres


@pytest.fixture
def ledger(database: str) -> Ledger:
    ledger = Ledger(database)
    for name in ("a.a", "a.b", "a.c"):
        ledger.handler(name, print, bundle=1)
    return ledger


def a_release(ledger: Ledger, **options: Any) -> ReleaseLedger:
    return ReleaseLedger(ledger.engine, **({"patience": 300.0, "window": 20_000, "forgetful": False} | options))


def due_now(ledger: Ledger) -> None:
    """As when the process that accepted them died before it published."""
    ledger.until(lambda: not ledger.sql("select 1 from millrace.tickets where published_at is null"))
    ledger.sql("update millrace.tickets set due_at = now() - interval '1 s', published_at = null, publishes = 0")


def test_what_is_due_is_taken_once_by_any_number_of_clocks(ledger: Ledger) -> None:
    ledger.post("a.a", *range(100))
    due_now(ledger)
    clocks = [a_release(ledger) for _ in range(4)]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        taken = [due.ticket.id for found in pool.map(lambda c: c.take_due(40, 10.0), clocks) for due in found]
    taken += [due.ticket.id for due in clocks[0].take_due(100, 10.0)]
    assert len(taken) == len(set(taken)) == 100
    assert clocks[0].take_due(100, 10.0) == []


def test_types_take_turns_when_more_is_due_than_fits(ledger: Ledger) -> None:
    ledger.post("a.a", *range(300))
    ledger.post("a.b", *range(10))
    ledger.post("a.c", *range(10))
    due_now(ledger)
    found = [due.ticket.type for due in a_release(ledger).take_due(60, 10.0)]
    assert {name: found.count(name) for name in set(found)} == {"a.a": 20, "a.b": 10, "a.c": 10}


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
        assert wait == pytest.approx(wanted, abs=5)


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


def a_calendar(*found: schedules.Schedule) -> schedules.Calendar:
    calendar = schedules.Calendar()
    for one in found:
        calendar.add(one)
    return calendar


def test_five_clocks_fire_a_slot_once(ledger: Ledger) -> None:
    calendar = a_calendar(*(schedules.Schedule(f"s{n}", "a.a", Interval(3600)) for n in range(20)))
    clocks = [SlotLedger(engines.Engine(ledger.url), clock=f"clock {n}") for n in range(5)]
    with concurrent.futures.ThreadPoolExecutor(5) as pool:
        list(pool.map(lambda c: c.declare(calendar), clocks))
        ledger.sql("update millrace.schedules set next_due = next_due - interval '2 hours'")
        fired = [name for found in pool.map(lambda c: c.fire_due(calendar, 7), clocks * 4) for name, _ in found]
    assert sorted(fired) == sorted(s.name for s in calendar)
    slots = ledger.sql("select count(*), count(distinct (schedule, due_at)), min(missed) from millrace.slots")
    assert slots == [(20, 20, 1)]
    assert ledger.states() == {"pending": 20}
    assert {(t.queue, len(t.event_ids)) for t in ledger.tickets()} == {("periodic", 1)}
    ledger.check()


def test_a_slot_that_was_fired_is_not_fired_again_even_if_its_schedule_is_set_back(ledger: Ledger) -> None:
    calendar = a_calendar(schedules.Schedule("s", "a.a", Interval(3600), {"n": 1}))
    clock = SlotLedger(ledger.engine, clock="clock")
    clock.declare(calendar)
    ledger.sql("update millrace.schedules set next_due = next_due - interval '1 hour'")
    assert len(clock.fire_due(calendar, 10)) == 1
    ledger.sql("update millrace.schedules set next_due = next_due - interval '1 hour'")
    assert clock.fire_due(calendar, 10) == []
    assert ledger.sql("select payload, schedule, producer from millrace.events") == [({"n": 1}, "s", "schedule")]
    wait = clock.next_in(calendar)
    assert wait is not None
    assert 0 < wait <= 3600


def test_a_changed_plan_starts_anew_and_an_unchanged_one_goes_on(ledger: Ledger) -> None:
    clock = SlotLedger(ledger.engine, clock="clock")
    clock.declare(a_calendar(schedules.Schedule("s", "a.a", Interval(3600))))
    ledger.sql("update millrace.schedules set next_due = now() - interval '3 hours'")
    before = ledger.sql("select next_due from millrace.schedules")
    clock.declare(a_calendar(schedules.Schedule("s", "a.a", Interval(3600))))
    assert ledger.sql("select next_due from millrace.schedules") == before
    clock.declare(a_calendar(schedules.Schedule("s", "a.a", Cron("0 0 * * *"))))
    [(due,)] = ledger.sql("select next_due from millrace.schedules")
    assert due > datetime.datetime.now(datetime.UTC)


def test_a_paused_schedule_and_one_that_this_clock_does_not_know_are_left_alone(ledger: Ledger) -> None:
    clock = SlotLedger(ledger.engine, clock="clock")
    known, other = schedules.Schedule("s", "a.a", Interval(60)), schedules.Schedule("other", "a.b", Interval(60))
    clock.declare(a_calendar(known, other))
    ledger.sql("update millrace.schedules set next_due = now() - interval '1 min'")
    ledger.sql("update millrace.schedules set paused_at = now() where name = 's'")
    assert clock.fire_due(a_calendar(known), 10) == []
    assert clock.next_in(a_calendar(known)) is None


def test_partitions_are_made_ahead_and_hold_the_days_of_their_ids(ledger: Ledger) -> None:
    far = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=9)
    ledger.sql(f"drop table millrace.events_{far:%Y%m%d}")
    upkeep = Upkeep(ledger.engine)
    upkeep.make_partitions()
    upkeep.make_partitions()  # Within the hour this asks nothing.
    days = ledger.sql("select count(*) from pg_class where relname like 'events_20%' and relkind = 'r'")
    assert days == [(16,)]
    ledger.post("a.a", 1)
    [(table,)] = ledger.sql("select tableoid::regclass::text from millrace.events")
    assert table == f"millrace.events_{datetime.datetime.now(datetime.UTC):%Y%m%d}"


def test_windows_are_counted_from_what_is_out(ledger: Ledger) -> None:
    ledger.post("a.a", *range(7))
    ledger.until(lambda: not ledger.sql("select 1 from millrace.tickets where published_at is null"))
    Upkeep(ledger.engine).count_windows()
    assert ledger.sql("select name, out_events from millrace.types") == [("a.a", 7)]
    ledger.sql("delete from millrace.tickets")
    ledger.sql("update millrace.duties set done_at = '-infinity'")
    Upkeep(ledger.engine).count_windows()
    assert ledger.sql("select name, out_events from millrace.types") == [("a.a", 0)]


def test_old_tallies_are_folded_and_their_sum_stays(ledger: Ledger) -> None:
    row = "insert into millrace.tallies (minute, type, word, n, mark) values (%s, 'a.a', 'done', 1, now())"
    for hours in (1, 50, 51, 52, 80):
        ledger.sql(row, datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=hours))
    Upkeep(ledger.engine).fold_tallies()
    ledger.sql("update millrace.duties set done_at = '-infinity'")
    Upkeep(ledger.engine).fold_tallies()
    [(rows, total)] = ledger.sql("select count(*), sum(n) from millrace.tallies")
    assert total == 5
    assert rows <= 4


class Message:
    def __init__(self, body: Any, **headers: Any) -> None:
        self.body = body
        self.properties = {"content_type": "application/json", "application_headers": headers}


class DeadQueue:
    def __init__(self, *messages: Message) -> None:
        self.messages, self.acked = list(messages), 0

    def get(self) -> Message | None:
        return self.messages.pop(0) if self.messages else None

    def ack(self, message: Message) -> None:
        self.acked += 1


def test_a_ticket_that_comes_back_is_due_again_and_what_is_not_ours_is_filed(ledger: Ledger) -> None:
    ledger.post("a.a", 1)
    ledger.until(lambda: not ledger.sql("select 1 from millrace.tickets where published_at is null"))
    [ticket] = ledger.broker.published
    from service.broker import message

    ours = message.body(ticket)
    newer = ours.replace('"v":1', f'"v":{tickets.VERSION + 1}')
    foreign = [b"\xff\xfe", '{"a":', "[]", '[["x"],{},{}]', "[" * 100_000]
    death = [{"queue": "events", "reason": "delivery_limit"}]
    strange = [Message(f, odd=b"\x00\xff", n=float("nan")) for f in foreign]
    queue = DeadQueue(Message(ours, **{"x-death": death}), Message(newer), *strange)
    assert returned.empty(queue, Upkeep(ledger.engine)) == 7
    assert queue.acked == 7
    found = ledger.sql("select returns, careful, published_at, due_at > clock_timestamp() from millrace.tickets")
    assert found == [(2, True, None, True)]
    filed = ledger.sql("select body, headers::text from millrace.strays order by length(body)")
    assert [bytes(row[0]) for row in filed] == sorted(
        (f if isinstance(f, bytes) else f.encode() for f in foreign), key=len
    )
