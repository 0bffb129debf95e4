"""Slots: fired once by any number of clocks, whatever one of them does."""

from __future__ import annotations

import concurrent.futures
import datetime
import threading
import time

import pytest

from service.domain import errors, schedules
from service.ledger import courses
from service.ledger.schedules import ScheduleLedger
from service.plans import Cron, Interval
from tests.integration.clock.parts import Clock, every
from tests.ledgers import Ledger
from tests.patience import PATIENCE

pytestmark = pytest.mark.postgres


@pytest.mark.fault(45)
def test_five_clocks_fire_a_slot_once(ledger: Ledger) -> None:
    found = [schedules.Schedule(f"s{n}", "a.a", Interval(3600)) for n in range(20)]
    clocks = [Clock(ledger, *found, name=f"clock {n}") for n in range(5)]
    with concurrent.futures.ThreadPoolExecutor(5) as pool:
        list(pool.map(Clock.declare, clocks))
        ledger.sql("update millrace.schedules set next_due = next_due - interval '2 hours'")
        fired = [slot.schedule for settled in pool.map(lambda c: c.fire(7), clocks * 4) for slot in settled]
    assert sorted(fired) == sorted(s.name for s in found)
    slots = ledger.sql("select count(*), count(distinct (schedule, due_at)) from millrace.slots")
    assert slots == [(20, 20)]
    assert ledger.sql("select missed from millrace.slots") in ([(1,)] * 20, [(2,)] * 20)  # An hour may have begun.
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
    # What was due of the old plan was fired; an hour may have begun meanwhile.
    assert ledger.sql("select missed from millrace.slots") in ([(3,)], [(4,)])


def test_hundreds_of_schedules_are_declared_in_small_transactions_and_nobody_waits_for_those_of_others(
    ledger: Ledger,
) -> None:
    many = [schedules.Schedule(f"s{n}", "a.a", Interval(3600)) for n in range(1200)]
    Clock(ledger, *many, name="many").declare()
    assert ledger.sql("select count(*), count(distinct xmin::text) from millrace.schedules") == [(1200, 5)]
    own = schedules.Schedule("own", "a.a", Interval(7200 * 12))
    clock = Clock(ledger, own, name="one").declare()
    assert clock.slots.next_in(0.5) is None
    assert clock.slots.next_in() is not None
    ledger.sql("update millrace.schedules set next_due = now() - interval '30 s' where name <> 'own'")
    assert clock.fire(10) == []
    assert ledger.sql("select count(*) from millrace.schedules where retired_at is not null") == [(0,)]


def fired(ledger: Ledger) -> int:
    return int(ledger.sql("select count(*) from millrace.slots")[0][0])


class FreezingPlan(Interval):
    """A plan whose clock stands still between two statements, as under SIGSTOP."""

    reached, thawed = threading.Event(), threading.Event()

    def next_after(self, moment: datetime.datetime) -> datetime.datetime:
        self.reached.set()
        self.thawed.wait(30)
        return super().next_after(moment)


@pytest.mark.fault(47)
@pytest.mark.usefixtures("limits_of_production")
def test_a_clock_that_freezes_in_mid_tick_delays_its_slots_by_two_seconds_at_most(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule = schedules.Schedule("s", "a.a", Interval(3600))
    clock, frozen = Clock(ledger, schedule, name="sound").declare(), Clock(ledger, schedule, name="frozen").declare()
    ledger.sql("update millrace.schedules set next_due = next_due - interval '1 hour'")
    read = courses.read_plan
    monkeypatch.setattr(courses, "read_plan", lambda text: FreezingPlan(3600))
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        tick = pool.submit(frozen.fire)
        assert FreezingPlan.reached.wait(20 * PATIENCE)
        monkeypatch.setattr(courses, "read_plan", read)
        begun = time.monotonic()
        try:
            # A machine that stood still may have had the server end the frozen one by now.
            assert clock.fire() == [] or time.monotonic() - begun > 1.0
            ledger.until(lambda: clock.fire() != [] or fired(ledger) > 0, within=2.5)
        finally:
            FreezingPlan.thawed.set()
        with pytest.raises(errors.LedgerUnavailable):
            tick.result(20 * PATIENCE)
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
    found = [schedules.Schedule(n, "a.a", every(60)) for n in ("sound", "strange")]
    operator = ScheduleLedger(ledger.engine)
    for one in found:
        operator.create(one, by=None)
    ledger.sql("update millrace.schedules set next_due = next_due - interval '1 min'")
    ledger.sql('update millrace.schedules set spec = \'{"plan": {"moon": "full"}}\' where name = \'strange\'')
    clock = Clock(ledger)
    assert [slot.schedule for slot in clock.fire()] == ["sound"]
    assert clock.fire() == []  # It is told of once a minute.
    assert len([r for r in caplog.records if "strange" in r.getMessage()]) == 1
