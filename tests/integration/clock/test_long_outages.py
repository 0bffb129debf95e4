"""After hours without a clock: whatever is due is settled in pieces, and nobody waits for those with much to do."""

from __future__ import annotations

import datetime
import json
from collections.abc import Sequence

import pytest

from service.domain import errors, policies, schedules
from service.ledger import courses, firing
from service.plans import Cron, Interval, jitter
from tests.integration.clock.parts import Clock, every
from tests.ledgers import Ledger
from tests.patience import PATIENCE

pytestmark = pytest.mark.postgres

LATE = 2.0  #: seconds by which a slot may be late once a clock is there: P5
#: Of each schedule: how many instants its slots stand for, of those from this one on.
ACCOUNT = """
select schedule, (count(*) + sum(missed))::int, extract(epoch from max(due_at) - %s)::int / 60 + 1 from millrace.slots
where schedule <> 'healthy' group by 1
"""


def minutely(number: int, prefix: str = "cron", **payload: str) -> list[schedules.Schedule]:
    """So many schedules of each minute, each with an expression of its own, as people write them."""
    zones = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe")
    return [
        schedules.Schedule(f"{prefix}.{n}", "a.a", Cron("* * * * *", zones[n % 4]), {"n": n, **payload})
        for n in range(number)
    ]


def away(ledger: Ledger, hours: int) -> datetime.datetime:
    """As if no clock had been there for so long; the first instant that nobody fired."""
    ledger.sql(
        "update millrace.schedules set planned = null,"
        " next_due = date_trunc('minute', now()) - make_interval(hours => %s) where name <> 'healthy'",
        hours,
    )
    [(since,)] = ledger.sql("select min(next_due) from millrace.schedules")
    found: datetime.datetime = since
    return found


def is_overdue(ledger: Ledger) -> bool:
    planned = "select 1 from millrace.schedules where coalesce(planned, next_due) < now() - interval '1 min' limit 1"
    return bool(ledger.sql(planned))


def check(ledger: Ledger, since: datetime.datetime, names: Sequence[str]) -> None:
    """Each instant of each of these schedules is accounted for, once."""
    found = {name: (stands, instants) for name, stands, instants in ledger.sql(ACCOUNT, since)}
    assert set(found) == set(names)
    assert {name: pair for name, pair in found.items() if pair[0] != pair[1]} == {}


@pytest.mark.fault(48)
@pytest.mark.parametrize("hours", [3, 20])
def test_hundreds_of_schedules_with_hours_to_catch_up_keep_no_other_one_waiting(ledger: Ledger, hours: int) -> None:
    many = minutely(250)
    each = policies.Policy(policies.Misfire.ALL)  # Within an hour.
    every = [schedules.Schedule(f"all.{n}", "a.b", Cron("* * * * *"), policy=each) for n in range(50)]
    healthy = schedules.Schedule("healthy", "a.c", Interval(1))
    clock = Clock(ledger, healthy, *many, *every).declare()
    since = away(ledger, hours)
    ledger.until(lambda: bool(clock.fire(250)) and not is_overdue(ledger), 60)
    ledger.until(lambda: any(slot.schedule == "healthy" for slot in clock.fire(250)), 5)
    check(ledger, since, [s.name for s in (*many, *every)])
    assert ledger.sql(
        "select max(late + missed) <= %s from millrace.slots where schedule = 'healthy'", LATE * PATIENCE
    ) == [(True,)]
    [(events,)] = ledger.sql("select count(*) from millrace.events where type = 'a.b'")
    assert events >= 50 * 60
    ledger.check()


@pytest.mark.fault(48)
def test_new_code_that_comes_after_a_long_outage_settles_what_the_old_plans_had(ledger: Ledger) -> None:
    old, new = minutely(250, v="old"), minutely(250, v="new")
    each = policies.Policy(policies.Misfire.ALL, misfire_window=86_400.0)
    old.append(schedules.Schedule("all", "a.old", Cron("* * * * *"), {"v": "old"}, each))
    new.append(schedules.Schedule("all", "a.b", Cron("*/5 * * * *"), {"v": "new"}, each))
    Clock(ledger, *old).declare()
    since = away(ledger, 20)
    clock = Clock(ledger, *new, name="new").declare()
    check(ledger, since, [s.name for s in new])
    assert not is_overdue(ledger)
    assert ledger.sql("select type, count(*) >= 1200 from millrace.events where schedule = 'all' group by 1") == [
        ("a.b", True)  # Perhaps nobody works the old type any more.
    ]
    assert ledger.sql("select distinct spec->'payload'->>'v' from millrace.schedules") == [("new",)]
    clock.fire()
    ledger.check()


def test_what_is_due_of_some_schedules_is_settled_in_short_transactions(ledger: Ledger) -> None:
    each = policies.Policy(policies.Misfire.ALL, misfire_window=86_400.0)
    Clock(ledger, *[schedules.Schedule(f"s{n}", "a.a", Interval(1), policy=each) for n in range(3)]).declare()
    ledger.sql("update millrace.schedules set next_due = next_due - interval '20 min' where name <> 's2'")
    [(begun,)] = ledger.sql("select clock_timestamp()")
    settled = firing.Firing(by="test").settle(ledger.engine, ["s0", "s1", "gone"])
    assert len(settled) >= 2400
    assert {slot.schedule for slot in settled} == {"s0", "s1"}
    [(most,)] = ledger.sql("select max(n) from (select count(*) as n from millrace.slots group by xmin::text) one")
    assert most <= firing.SLOTS
    assert ledger.sql("select min(next_due) > %s from millrace.schedules where name <> 's2'", begun) == [(True,)]


@pytest.fixture
def doomed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody can say when the slots of the schedule ``doomed`` are fired."""
    sound = jitter.jittered

    def jittered(name: str, *args: object) -> datetime.datetime:
        if name == "doomed":
            raise OverflowError("date value out of range")
        return sound(name, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(jitter, "jittered", jittered)


def two() -> list[schedules.Schedule]:
    policy = policies.Policy(jitter=1.0)
    return [schedules.Schedule(name, "a.a", every(60), policy=policy) for name in ("doomed", "sound")]


def test_a_schedule_that_cannot_be_decided_on_stops_no_other_and_says_why(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> None:
    found = two()
    clock, other = Clock(ledger, *found).declare(), Clock(ledger, *found, name="other").declare()
    ledger.sql("update millrace.schedules set next_due = now(), planned = planned - interval '3 min'")
    request.getfixturevalue("doomed")
    assert [slot.schedule for slot in clock.fire()] == ["sound"]
    error = "select error from millrace.schedules order by name"
    assert ledger.sql(error) == [("OverflowError: date value out of range",), (None,)]
    told = [r.getMessage() for r in caplog.records]
    assert told == ["The schedule doomed cannot be fired: date value out of range"]
    assert clock.fire() == []
    assert clock.slots.next_in(0.0) is None, "it is asked for again at once"
    monkeypatch.undo()  # A clock that can fires it in time, whatever others cannot.
    assert [slot.schedule for slot in other.fire()] == ["doomed"]
    assert ledger.sql(error) == [(None,), (None,)]


@pytest.mark.usefixtures("doomed")
def test_a_schedule_that_cannot_be_planned_keeps_no_other_from_being_declared(
    ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock(ledger, *two()).declare()
    assert ledger.sql("select name from millrace.schedules") == [("sound",)]
    assert [r.getMessage() for r in caplog.records] == ["The schedule doomed is left out: date value out of range"]
    ledger.sql("update millrace.schedules set next_due = now() - interval '1 s'")
    clock.fire()


def test_a_clock_that_knows_no_zone_leaves_its_schedules_to_those_that_do(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    poor, rich = (Clock(ledger, *minutely(1), name=name).declare() for name in ("poor", "rich"))
    ledger.sql("update millrace.schedules set next_due = date_trunc('minute', now())")

    def unknown(text: str) -> schedules.Plan:
        raise errors.DeclarationError(f"tz: {json.loads(text)['tz']!r} is no time zone")

    with monkeypatch.context() as patch:
        patch.setattr(courses, "read_plan", unknown)
        assert poor.fire() == []
    assert ledger.sql("select error from millrace.schedules") == [("DeclarationError: tz: 'UTC' is no time zone",)]
    assert [slot.schedule for slot in rich.fire()] == ["cron.0"]
