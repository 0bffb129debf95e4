"""Clocks of two versions of the code, side by side: who fires, retires and takes over what."""

from __future__ import annotations

import datetime

import pytest

from service.domain import policies, schedules
from service.domain.slots import Outcome
from service.ledger import declared, ticks
from service.plans import Interval
from tests.integration.clock.parts import Clock
from tests.ledgers import Ledger

pytestmark = pytest.mark.postgres


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
    fired: list[ticks.Settled] = []
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
    old, new = two_versions(ledger)  # The new version is taken back, and its clock ends.
    old.stay()
    new.leave(70)
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


OVERDUE = "update millrace.schedules set next_due = date_trunc('minute', now()) - interval '2 min'"
VERSION = "select spec->'payload'->>'v' from millrace.schedules"


@pytest.mark.fault(42)
def test_what_a_living_clock_declares_is_not_taken_over_however_late_it_is(ledger: Ledger) -> None:
    old, _ = two_versions(ledger)
    old.stay()
    ledger.sql(OVERDUE)
    assert old.fire() == []
    assert ledger.sql(VERSION) == [("new",)]


@pytest.mark.fault(42)
def test_after_an_outage_of_the_ledger_the_others_have_a_minute_to_show_that_they_live(ledger: Ledger) -> None:
    """Everybody's last sign is old by then, and the old version may look first."""
    old, new = two_versions(ledger)
    for clock in (old, new):
        clock.stay(until=90)
        clock.leave(90)
    ledger.sql(OVERDUE)
    assert old.fire() == []
    old.declarations.live()
    assert old.fire() == []
    assert ledger.sql(VERSION) == [("new",)]
    assert [slot.missed for slot in new.fire()] in ([2], [3])


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
    new.leave(120)
    old.declarations.live()
    assert ledger.sql("select count(*) from millrace.schedules where retired_at is null") == [(0,)], "it has just come"
    old.stay().declarations.live()
    assert ledger.sql("select count(*) from millrace.schedules where retired_at is null") == [(1,)]


RETIRED = "select name from millrace.schedules where retired_at is not null order by name"


def bank_and_shop(ledger: Ledger) -> tuple[Clock, Clock]:
    """A clock of a version with two apps, and one of the next version, from which one app was dropped."""
    found = [schedules.Schedule(name, "a.a", Interval(60), app=name) for name in ("bank", "shop")]
    old = Clock(ledger, *found, apps=["bank", "shop"], name="old").declare()
    new = Clock(ledger, found[1], apps=["shop"], name="new").declare().stay()
    return old, new


@pytest.mark.fault(42)
def test_the_schedules_of_an_app_that_was_dropped_are_retired_when_no_clock_has_it_any_more(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(declared, "ABSENT_EVERY", 0.0)
    old, new = bank_and_shop(ledger)
    new.declarations.live()
    assert ledger.sql(RETIRED) == [], "in the middle of a deploy both versions run"
    old.leave(300)
    new.declarations.live()
    assert ledger.sql(RETIRED) == [], "its clocks may come back"
    old.leave(1000)
    Clock(ledger, apps=["other"], name="just come").declarations.live()
    assert ledger.sql(RETIRED) == []
    new.declarations.live()
    assert ledger.sql(RETIRED) == [("bank",)]


@pytest.mark.fault(42)
@pytest.mark.parametrize("words", ["same", "other"])
def test_an_app_whose_clocks_were_only_away_goes_on_where_its_schedules_stood(ledger: Ledger, words: str) -> None:
    old, new = bank_and_shop(ledger)
    old.leave(1000)
    ledger.sql("update millrace.schedules set next_due = date_trunc('minute', now()) - interval '5 min'")
    new.declarations.live()
    assert ledger.sql(RETIRED) == [("bank",)]
    again = schedules.Schedule("bank", "a.a", Interval(60 if words == "same" else 120), app="bank")
    back = Clock(ledger, again, apps=["bank"], name="back").declare()
    back.fire()
    assert ledger.sql("select missed from millrace.slots where schedule = 'bank'") in ([(5,)], [(6,)])
    assert ledger.sql(RETIRED) == []


@pytest.mark.fault(42)
def test_a_clock_that_was_cut_off_finds_its_schedules_retired_and_goes_on_with_them(ledger: Ledger) -> None:
    old, new = bank_and_shop(ledger)
    old.leave(1000)
    new.declarations.live()
    assert ledger.sql(RETIRED) == [("bank",)]
    old.declarations.live()
    assert ledger.sql(RETIRED) == []


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
