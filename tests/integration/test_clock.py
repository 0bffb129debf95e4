"""The clock on a real ledger: releasing tickets, firing slots, upkeep, and what faults do to it."""

from __future__ import annotations

import concurrent.futures
import contextlib
import datetime
import logging
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import psycopg2
import pytest

from schedules import duty, scheduler
from service import bootstrap, plugins, settings
from service.application import returned
from service.application.publish import Release
from service.broker import factory
from service.domain import errors, policies, processes, schedules
from service.domain import ticket as tickets
from service.domain.slots import Outcome
from service.ledger import engine as engines
from service.ledger import firing
from service.ledger.declared import Declarations
from service.ledger.processes import ProcessLedger
from service.ledger.release import ReleaseLedger
from service.ledger.schedules import ScheduleLedger
from service.ledger.slots import SlotLedger
from service.ledger.upkeep import Upkeep
from service.ledger.watching import LedgerWatch
from service.plans import Cron, Interval
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


class Clock:
    """The slots and declarations of one clock, without its threads."""

    def __init__(
        self, ledger: Ledger, *found: schedules.Schedule, name: str = "clock", apps: Sequence[str] = ()
    ) -> None:
        engine = engines.Engine(ledger.url)
        self.declarations = Declarations(engine, a_calendar(*found), clock=name, apps=apps)
        self.slots = SlotLedger(engine, self.declarations.calendar, clock=name)

    def declare(self) -> Clock:
        self.declarations.declare()
        return self

    def fire(self, limit: int = 100) -> list[firing.Settled]:
        """A look: what it has settled; what nobody fires any more it takes over."""
        settled, orphans = self.slots.fire_due(limit)
        self.declarations.take_over(orphans)
        return settled


@pytest.mark.fault(45)
def test_five_clocks_fire_a_slot_once(ledger: Ledger) -> None:
    found = [schedules.Schedule(f"s{n}", "a.a", Interval(3600)) for n in range(20)]
    clocks = [Clock(ledger, *found, name=f"clock {n}") for n in range(5)]
    with concurrent.futures.ThreadPoolExecutor(5) as pool:
        list(pool.map(Clock.declare, clocks))
        ledger.sql("update millrace.schedules set next_due = next_due - interval '2 hours'")
        fired = [slot.schedule for settled in pool.map(lambda c: c.fire(7), clocks * 4) for slot in settled]
    assert sorted(fired) == sorted(s.name for s in found)
    slots = ledger.sql("select count(*), count(distinct (schedule, due_at)), min(missed) from millrace.slots")
    assert slots == [(20, 20, 1)]
    assert ledger.states() == {"pending": 20}
    assert {(t.queue, len(t.event_ids)) for t in ledger.tickets()} == {("periodic", 1)}
    ledger.check()


def test_a_slot_that_was_fired_is_not_fired_again_even_if_its_schedule_is_set_back(ledger: Ledger) -> None:
    clock = Clock(ledger, schedules.Schedule("s", "a.a", Interval(3600), {"n": 1})).declare()
    ledger.sql("update millrace.schedules set next_due = next_due - interval '1 hour'")
    assert len(clock.fire()) == 1
    ledger.sql("update millrace.schedules set next_due = next_due - interval '1 hour'")
    assert clock.fire() == []
    assert ledger.sql("select payload, schedule, producer from millrace.events") == [({"n": 1}, "s", "schedule")]
    wait = clock.slots.next_in()
    assert wait is not None
    assert 0 < wait <= 3600


def test_a_changed_plan_starts_anew_and_an_unchanged_one_goes_on(ledger: Ledger) -> None:
    Clock(ledger, schedules.Schedule("s", "a.a", Interval(3600))).declare()
    ledger.sql("update millrace.schedules set next_due = date_trunc('hour', now()) - interval '3 hours'")
    before = ledger.sql("select next_due from millrace.schedules")
    Clock(ledger, schedules.Schedule("s", "a.a", Interval(3600))).declare()
    assert ledger.sql("select next_due from millrace.schedules") == before
    Clock(ledger, schedules.Schedule("s", "a.a", Cron("0 0 * * *"))).declare()
    [(due,)] = ledger.sql("select next_due from millrace.schedules")
    assert due > datetime.datetime.now(datetime.UTC)
    assert ledger.sql("select missed from millrace.slots") == [(3,)]  # What was due of the old plan was fired.


def test_an_instant_that_is_due_when_the_type_of_its_schedule_changes_becomes_an_event_of_the_new_one(
    ledger: Ledger,
) -> None:
    Clock(ledger, schedules.Schedule("s", "a.old", Interval(3600), {"v": "old"})).declare()
    ledger.sql("update millrace.schedules set next_due = date_trunc('hour', now()) - interval '3 hours'")
    clock = Clock(ledger, schedules.Schedule("s", "a.a", Interval(7200), {"v": "new"}), name="new").declare()
    # By the old plan, and as many as it had: the last of them is the event.
    assert ledger.sql("select due_at = date_trunc('hour', fired_at), missed from millrace.slots") == [(True, 3)]
    assert ledger.sql("select type, payload->>'v', schedule from millrace.events") == [("a.a", "new", "s")]
    assert ledger.sql("select type, queue, routing_key from millrace.tickets") == [("a.a", "periodic", "tick.s")]
    [(ahead, runs)] = ledger.sql("select next_due > now(), runs from millrace.schedules")
    assert (ahead, runs) == (True, 1)
    assert clock.fire() == []
    ledger.check()


def test_an_instant_that_waits_for_an_open_event_goes_on_waiting_when_the_code_changes(ledger: Ledger) -> None:
    policy = policies.Policy(overlap=policies.Overlap.QUEUE_ONE)
    old = Clock(ledger, schedules.Schedule("s", "a.a", Interval(1), policy=policy)).declare()
    ledger.until(lambda: any(slot.outcome is Outcome.HELD for slot in old.fire()), 10)
    new = Clock(ledger, schedules.Schedule("s", "a.a", Interval(86_400), policy=policy), name="new").declare()
    assert new.fire() == []
    ledger.work()
    fired: list[firing.Settled] = []
    ledger.until(lambda: bool(fired.extend(new.fire()) or fired))
    assert [slot.event_id is not None for slot in fired] == [True]
    assert ledger.sql("select count(*) from millrace.slots where outcome = 'held'") == [(0,)]
    assert ledger.sql("select held, next_due > now() from millrace.schedules") == [(None, True)]


def two_versions(ledger: Ledger) -> tuple[Clock, ...]:
    """Two clocks that declare the schedule ``s``, one after the other."""
    versions = ("old", "new")
    plan = Interval(60)
    return tuple(Clock(ledger, schedules.Schedule("s", "a.a", plan, {"v": v}), name=v).declare() for v in versions)


@pytest.mark.fault(42)
def test_a_schedule_is_fired_by_the_version_that_declared_it_last(ledger: Ledger) -> None:
    old, new = two_versions(ledger)
    ledger.sql("update millrace.schedules set next_due = date_trunc('minute', now())")
    assert old.fire() == []
    assert len(new.fire()) == 1
    assert ledger.sql("select payload->>'v' from millrace.events") == [("new",)]


@pytest.mark.fault(42)
def test_a_clock_does_not_wait_for_slots_of_another_version(ledger: Ledger) -> None:
    old, _ = two_versions(ledger)
    assert old.slots.next_in() is None


@pytest.mark.fault(42)
def test_a_schedule_whose_version_is_gone_is_taken_over_without_losing_a_slot(ledger: Ledger) -> None:
    old, _ = two_versions(ledger)  # The new version is taken back, and its clock ends.
    [(due,)] = ledger.sql(
        "update millrace.schedules set next_due = date_trunc('minute', now()) - interval '2 min' returning next_due"
    )
    assert old.fire() == []
    [(at, missed, version)] = ledger.sql(
        "select s.due_at, missed, payload->>'v' from millrace.slots s join millrace.events e on e.id = s.event_id"
    )
    assert (at - datetime.timedelta(minutes=missed), version) == (due, "new")  # It was due by that plan and payload.
    ledger.sql("update millrace.schedules set next_due = next_due - interval '1 min'")
    old.fire()
    assert ledger.sql("select spec->'payload'->>'v' from millrace.schedules") == [("old",)]


@pytest.mark.fault(42)
def test_what_an_app_declares_no_more_is_retired_and_what_others_declare_stays(ledger: Ledger) -> None:
    gone, kept = (schedules.Schedule(n, "a.a", Interval(60), app="shop") for n in ("gone", "kept"))
    Clock(ledger, gone, kept, apps=["shop"]).declare()
    Clock(ledger, schedules.Schedule("other", "a.a", Interval(60), app="bank"), apps=["bank"]).declare()
    Clock(ledger, kept, apps=["shop"], name="new").declare()
    retired = "select name from millrace.schedules where retired_at is not null"
    assert ledger.sql(retired) == [("gone",)]
    Clock(ledger, gone, kept, apps=["shop"], name="back").declare()
    assert ledger.sql(retired) == []
    assert ledger.sql("select 1 from millrace.schedules where name = 'gone' and next_due > now()") == [(1,)]


@pytest.mark.fault(42)
def test_what_a_version_has_retired_that_is_gone_goes_on_where_a_clock_still_declares_it(ledger: Ledger) -> None:
    schedule = schedules.Schedule("s", "a.a", Interval(60), app="shop")
    old = Clock(ledger, schedule, apps=["shop"], name="old").declare()
    new = Clock(ledger, apps=["shop"], name="new").declare()
    new.declarations.live()
    ledger.sql("update millrace.schedules set retired_at = now() - interval '2 min'")
    old.declarations.live()
    assert ledger.sql("select count(*) from millrace.schedules where retired_at is null") == [(0,)]
    ledger.sql("update millrace.clocks set seen_at = now() - interval '2 min' where name = 'new'")
    old.declarations.live()
    assert ledger.sql("select count(*) from millrace.schedules where retired_at is null") == [(1,)]


@pytest.mark.fault(43)
def test_a_clock_of_the_version_before_fires_on_beside_new_ones(ledger: Ledger) -> None:
    """What it wrote into the tables of the version before, as it stood there."""
    schedule = schedules.Schedule("s", "a.a", Interval(60), {"n": 1})
    clock = Clock(ledger, schedule, name="new")
    declare = "insert into millrace.schedules (name, type, spec, next_due) values (%s, %s, %s, %s)"
    before = datetime.datetime.now(datetime.UTC).replace(second=0, microsecond=0) - datetime.timedelta(minutes=5)
    ledger.sql(declare, "s", "a.a", schedule.spec(), before)
    clock.declare()
    assert ledger.sql("select next_due from millrace.schedules") == [(before,)]  # It is the same, and goes on.
    fire = (
        "insert into millrace.slots (schedule, due_at, outcome, event_id, clock, missed)"
        " values (%s, %s, 'fired', %s, %s, 0)"
    )
    ledger.sql(fire, "s", before, None, "old")
    ledger.sql("update millrace.schedules set next_due = %s where name = 's'", before - datetime.timedelta(minutes=2))
    [slot] = clock.fire()
    assert slot.due_at >= before
    assert ledger.sql("select spec = %s::jsonb, planned, retired_at from millrace.schedules", schedule.spec()) == [
        (True, None, None)
    ]


def test_hundreds_of_schedules_are_declared_in_small_transactions_and_nobody_waits_for_those_of_others(
    ledger: Ledger,
) -> None:
    many = [schedules.Schedule(f"s{n}", "a.a", Interval(3600)) for n in range(1200)]
    Clock(ledger, *many, name="many").declare()
    assert ledger.sql("select count(*), count(distinct xmin::text) from millrace.schedules") == [(1200, 3)]
    own = schedules.Schedule("own", "a.a", Interval(7200 * 12))
    clock = Clock(ledger, own, name="one").declare()
    assert clock.slots.next_in(0.5) is None
    assert clock.slots.next_in() is not None
    ledger.sql("update millrace.schedules set next_due = now() - interval '30 s' where name <> 'own'")
    assert clock.fire(10) == []
    assert ledger.sql("select count(*) from millrace.schedules where retired_at is not null") == [(0,)]


class FreezingPlan(Interval):
    """A plan whose clock stands still between two statements, as under SIGSTOP."""

    reached, thawed = threading.Event(), threading.Event()

    def next_after(self, moment: datetime.datetime) -> datetime.datetime:
        self.reached.set()
        self.thawed.wait(30)
        return super().next_after(moment)


@pytest.mark.fault(47)
def test_a_clock_that_freezes_in_mid_tick_delays_its_slots_by_two_seconds_at_most(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule = schedules.Schedule("s", "a.a", Interval(3600))
    clock, frozen = Clock(ledger, schedule, name="sound").declare(), Clock(ledger, schedule, name="frozen").declare()
    ledger.sql("update millrace.schedules set next_due = next_due - interval '1 hour'")
    read = firing.read_plan
    monkeypatch.setattr(firing, "read_plan", lambda text: FreezingPlan(3600))
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        tick = pool.submit(frozen.fire)
        assert FreezingPlan.reached.wait(5)
        monkeypatch.setattr(firing, "read_plan", read)
        try:
            assert clock.fire() == []
            ledger.until(lambda: clock.fire() != [], within=2.5)
        finally:
            FreezingPlan.thawed.set()
        with pytest.raises(errors.LedgerUnavailable):
            tick.result(5)
    assert ledger.sql("select clock from millrace.slots") == [("sound",)]


def test_a_paused_schedule_and_one_that_this_clock_does_not_know_are_left_alone(ledger: Ledger) -> None:
    known, other = schedules.Schedule("s", "a.a", Interval(60)), schedules.Schedule("other", "a.b", Interval(60))
    Clock(ledger, known, other).declare()
    clock = Clock(ledger, known, name="one")
    ledger.sql("update millrace.schedules set next_due = now() - interval '1 min' where name = 'other'")
    ScheduleLedger(ledger.engine).pause("s", by="ada")
    assert clock.fire() == []
    assert clock.slots.next_in() is None


def test_a_schedule_that_nobody_can_read_stops_no_other(ledger: Ledger, caplog: pytest.LogCaptureFixture) -> None:
    found = [schedules.Schedule(n, "a.a", Interval(60)) for n in ("sound", "strange")]
    operator = ScheduleLedger(ledger.engine)
    for one in found:
        operator.create(one, by=None)
    ledger.sql("update millrace.schedules set next_due = next_due - interval '1 min'")
    ledger.sql('update millrace.schedules set spec = \'{"plan": {"moon": "full"}}\' where name = \'strange\'')
    clock = Clock(ledger)
    assert [slot.schedule for slot in clock.fire()] == ["sound"]
    assert clock.fire() == []  # It is told of once a minute.
    assert len([r for r in caplog.records if "strange" in r.getMessage()]) == 1


def test_partitions_are_made_ahead_and_hold_the_days_of_their_ids(ledger: Ledger) -> None:
    far = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=9)
    ledger.sql(f"drop table millrace.events_{far:%Y%m%d}")
    upkeep = Upkeep(ledger.engine)
    upkeep.make_partitions()
    upkeep.make_partitions()  # Within the hour this asks nothing.
    days = ledger.sql("select count(*) from pg_class where relname like 'events_20%' and relkind = 'r'")
    assert days == [(16,)]
    ledger.post("a.a", 1)
    [(table,)] = ledger.sql("select relname from millrace.events e join pg_class c on c.oid = e.tableoid")
    assert table == f"events_{datetime.datetime.now(datetime.UTC):%Y%m%d}"


def test_windows_are_counted_from_what_is_out(ledger: Ledger) -> None:
    ledger.post("a.a", *range(7))
    ledger.until(lambda: not ledger.sql("select 1 from millrace.tickets where published_at is null"))
    Upkeep(ledger.engine).count_windows()
    assert ledger.sql("select name, out_events from millrace.types") == [("a.a", 7)]
    ledger.sql("delete from millrace.tickets")
    ledger.sql("update millrace.duties set done_at = '-infinity'")
    Upkeep(ledger.engine).count_windows()
    assert ledger.sql("select name, out_events from millrace.types") == [("a.a", 0)]


@contextlib.contextmanager
def held(ledger: Ledger, rows: str) -> Iterator[None]:
    """Rows that another clock holds, for two seconds at most: so does a test end that would wait for them."""
    with contextlib.closing(psycopg2.connect(ledger.url)) as other:
        cursor = other.cursor()
        cursor.execute("set idle_in_transaction_session_timeout = '2s'")
        cursor.execute(f"select from {rows} for update")
        yield
        with contextlib.suppress(psycopg2.Error):
            other.rollback()  # A connection that is only closed lets go a little later.


def watch_deletes(ledger: Ledger, table: str, what: str) -> None:
    """Note ``what`` about the rows that each delete takes: select it with DELETES."""
    ledger.sql("create table deletes (n bigint)")
    ledger.sql(
        "create function note() returns trigger language plpgsql as"
        f" $$ begin insert into deletes select {what} from gone; return null; end $$"
    )
    ledger.sql(
        f"create trigger note after delete on {table} referencing old table as gone"
        " for each statement execute function note()"
    )


DELETES = "select max(n) from deletes"


def test_old_keys_are_deleted_as_fast_as_they_come_and_in_small_transactions(ledger: Ledger) -> None:
    keys = (
        "insert into millrace.idempotency_keys select 'test', %s || n, '', gen_random_uuid(), now() - interval %s"
        " from generate_series(1, %s) n"
    )
    ledger.sql(keys, "old", "26 hours", 12_000)
    ledger.sql(keys, "young", "23 hours", 10)
    watch_deletes(ledger, "millrace.idempotency_keys", "count(*)")
    upkeep = Upkeep(ledger.engine)

    def only_young_are_left() -> bool:
        upkeep.forget_keys()
        return ledger.sql("select count(*) from millrace.idempotency_keys") == [(10,)]

    ledger.until(only_young_are_left)
    assert ledger.sql(DELETES) == [(5000,)]


def test_old_tallies_are_folded_into_one_row_a_day_by_the_hour_and_their_sum_stays(ledger: Ledger) -> None:
    ledger.sql(
        "insert into millrace.tallies (minute, type, word, n, queue, mark)"
        " select date_trunc('day', now()) - make_interval(days => day, mins => 7 * minute), type, 'done', 2, 'events',"
        "  now() from generate_series(1, 2) day, generate_series(1, 200) minute, unnest('{a.a,a.b}'::text[]) type"
    )
    recent = "select count(*) from millrace.tallies where minute >= date_trunc('day', now()) - interval '1 day'"
    before = ledger.sql(recent)
    watch_deletes(ledger, "millrace.tallies", "count(distinct date_trunc('hour', minute))")
    upkeep = Upkeep(ledger.engine)

    def all_are_folded() -> bool:
        upkeep.fold_tallies()
        return ledger.sql("select count(*) from millrace.tallies where mark is not null") == before

    ledger.until(all_are_folded)
    folded = (
        "select count(*), count(distinct (minute, type, word)), sum(n) from millrace.tallies where minute <"
        " date_trunc('day', now()) - interval '1 day'"
    )
    assert ledger.sql(folded) == [(4, 4, 2 * (800 - before[0][0]))]
    assert ledger.sql(recent) == before
    assert ledger.sql(DELETES) == [(2,)]  # The hour, and the row of its day.


def test_a_duty_is_done_by_one_clock_at_a_time_and_rests_when_nothing_is_left(ledger: Ledger) -> None:
    upkeep = Upkeep(ledger.engine)
    done_at = "select done_at from millrace.duties where name = 'keys'"
    before = ledger.sql(done_at)
    with held(ledger, "millrace.duties where name = 'keys'"):
        upkeep.forget_keys()
        assert ledger.sql(done_at) == before
    upkeep.forget_keys()
    after = ledger.sql(done_at)
    upkeep.forget_keys()
    assert before < after == ledger.sql(done_at)


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


# --- The whole clock: beat's scheduler and its threads ------------------------------------------------------------


class StuckQueue:
    """The queue ``dead`` of a broker that froze."""

    def __init__(self) -> None:
        self.reached, self.thawed = threading.Event(), threading.Event()

    def get(self) -> None:
        self.reached.set()
        self.thawed.wait(30)


@pytest.fixture
def calendar(monkeypatch: pytest.MonkeyPatch, ledger: Ledger) -> schedules.Calendar:
    """The schedules that the clock below is given, with the ledger's handlers as those of its apps."""
    monkeypatch.setattr(plugins, "registry", ledger.registry)
    return a_calendar(schedules.Schedule("s", "a.a", Interval(3600)))


@pytest.fixture
def start(
    ledger: Ledger, calendar: schedules.Calendar, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], scheduler.Scheduler]]:
    """Starts a clock as beat does; the test ticks."""
    monkeypatch.setattr(bootstrap, "watch", lambda *_, **__: None)
    started, queue = [], StuckQueue()

    def start() -> scheduler.Scheduler:
        upkeep_engine, looks_engine = engines.Engine(ledger.url, size=3), engines.Engine(ledger.url)
        app = factory.App("test", set_as_current=False)
        declarations = Declarations(upkeep_engine, bootstrap.handled(calendar), clock="test")
        app.road = bootstrap.ClockRoad(
            settings.Settings(database_url=ledger.url, broker_url="amqp://unused"),
            ledger.engine,
            SlotLedger(ledger.engine, declarations.calendar, clock="test"),
            declarations,
            Release(a_release(ledger), ledger.broker),
            ledger.engine,
            Upkeep(upkeep_engine),
            upkeep_engine,
            LedgerWatch(looks_engine),
            looks_engine,
            None,
            queue,  # type: ignore[arg-type]
            bootstrap.noter_of(processes.Kind.CLOCK, upkeep_engine),
        )
        started.append(scheduler.Scheduler(app))
        assert queue.reached.wait(5)
        return started[-1]

    yield start
    for found in started:
        found.close()
    queue.thawed.set()


def test_a_broken_duty_and_a_frozen_broker_keep_no_other_duty_from_being_done(
    ledger: Ledger, start: Callable[[], scheduler.Scheduler], caplog: pytest.LogCaptureFixture
) -> None:
    ledger.sql("drop function millrace.make_partitions")
    start()
    ledger.until(
        lambda: ledger.sql("select name from millrace.duties where done_at = '-infinity'") == [("partitions",)]
    )
    assert {r.message for r in caplog.records} == {"The clock's duty partitions failed"}


def test_a_fault_is_told_and_waited_out_for_longer_each_time(caplog: pytest.LogCaptureFixture) -> None:
    def once() -> None:
        raise ValueError("broken")

    tried = duty.Duty("test", once, longest=10.0)
    for longest in (0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0):
        assert tried.run()
        assert longest / 2 - 0.1 < tried.rest() <= longest
    assert [r.getMessage() for r in caplog.records] == ["The clock's duty test failed"] * 8


def test_a_duty_that_rests_is_left_out_and_a_lost_ledger_ends_the_round() -> None:
    done: list[str] = []

    def fails(name: str, error: Exception) -> duty.Duty:
        def once() -> None:
            done.append(name)
            raise error

        return duty.Duty(name, once, longest=60.0)

    duties = [
        fails("broken", ValueError()),
        fails("lost", errors.LedgerUnavailable()),
        duty.Duty("sound", lambda: done.append("sound"), longest=60.0),
    ]
    duty.in_turn(duties)
    assert done == ["broken", "lost"]
    duty.in_turn(duties)
    assert done == ["broken", "lost", "sound"]


def test_a_clock_notes_that_it_is_there_and_forgets_who_has_gone(
    start: Callable[[], scheduler.Scheduler], ledger: Ledger
) -> None:
    gone = processes.Process(processes.Kind.WEB, "gone", 7, "1", ())
    ProcessLedger(ledger.engine).note(gone, processes.Note(0.0))
    ledger.sql("update millrace.processes set seen_at = now() - interval '1 day'")
    start()
    seen = "select kind, pid, seen_at > now() - interval '1 min' from millrace.processes"
    ledger.until(lambda: ledger.sql(seen) == [("clock", os.getpid(), True)], 20)


def test_a_clock_is_healthy_while_it_ticks_whatever_comes_of_it_and_not_when_it_stalls(
    ledger: Ledger, start: Callable[[], scheduler.Scheduler], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduler, "STALLED", 0.5)
    clock = start()
    clock.tick()
    assert clock.health()[0]
    ledger.until(lambda: clock.health()[1]["status"] == "stalled")
    assert clock.health()[1]["seconds_since"]["slots"] >= 0.5
    ledger.sql("alter table millrace.slots rename to gone")
    ledger.sql("update millrace.schedules set next_due = next_due - interval '1 hour'")
    clock.tick()
    assert clock.health()[0]


def test_no_fault_ends_beat(ledger: Ledger, start: Callable[[], scheduler.Scheduler]) -> None:
    clock = start()
    assert clock.tick() > 0  # It has declared its schedule.
    ledger.sql("update millrace.schedules set next_due = next_due - interval '1 hour'")
    ledger.sql("alter table millrace.slots rename to gone")
    assert 0 < clock.tick() <= duty.FIRST_REST
    ledger.sql("alter table millrace.gone rename to slots")
    assert clock.tick() == 0.5
    assert ledger.sql("select schedule from millrace.slots") == [("s",)]


def test_a_clock_declares_its_schedules_once_and_then_leaves_them_to_newer_ones(
    ledger: Ledger, start: Callable[[], scheduler.Scheduler]
) -> None:
    clock = start()
    clock.tick()
    Clock(ledger, schedules.Schedule("s", "a.b", Interval(3600)), name="newer").declare()
    clock.tick()
    assert ledger.sql("select type from millrace.schedules") == [("a.b",)]


def test_a_slot_in_the_hands_of_another_clock_is_not_asked_for_without_pause(
    ledger: Ledger, start: Callable[[], scheduler.Scheduler]
) -> None:
    clock = start()
    clock.tick()
    ledger.sql("update millrace.schedules set next_due = next_due - interval '1 hour'")
    with held(ledger, "millrace.schedules"):
        assert clock.tick() == 0.05


def test_a_schedule_that_nobody_handles_is_told_and_not_declared(
    ledger: Ledger,
    calendar: schedules.Calendar,
    start: Callable[[], scheduler.Scheduler],
    caplog: pytest.LogCaptureFixture,
) -> None:
    calendar.add(schedules.Schedule("typo", "a.aa", Interval(1)))
    start().tick()
    assert ledger.sql("select name from millrace.schedules") == [("s",)]
    [told] = [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR]
    assert "typo" in told
    assert "a.aa" in told
