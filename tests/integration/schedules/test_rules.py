"""A new tz database: each instant is fired once, though the new rules have it elsewhere."""

from __future__ import annotations

import datetime
import pathlib
from collections.abc import Callable, Iterator

import pytest

from service.domain import schedules
from service.ledger import replan
from service.ledger.schedules import ScheduleLedger
from service.plans import At, Cron
from tests.integration.schedules.desk import Clock
from tests.ledgers import Ledger
from tests.zones import ZONE, a_tree, rules

pytestmark = [pytest.mark.postgres, pytest.mark.fault(50)]

HOUR, DAY = datetime.timedelta(hours=1), datetime.timedelta(days=1)
HALF = HOUR / 2

Change = Callable[[float], None]


@pytest.fixture
def now(ledger: Ledger) -> datetime.datetime:
    """The minute."""
    found: datetime.datetime = ledger.sql("select date_trunc('minute', clock_timestamp())")[0][0]
    return found.astimezone(datetime.UTC)


@pytest.fixture
def new_rules(tmp_path: pathlib.Path) -> Iterator[Change]:
    """Until it is called the zone is UTC; from then on so many hours before it: a clock was started anew."""
    with rules(a_tree(tmp_path / "old", 0)):
        entered = []

        def change(hours: float) -> None:
            entered.append(rules(a_tree(tmp_path / "new", hours)))
            entered[-1].__enter__()

        yield change
        for one in entered:
            one.__exit__(None, None, None)


def daily(ledger: Ledger, due: datetime.datetime, *, fired: bool, name: str = "s") -> None:
    """A schedule of days ago, that is due each day at this time of the old rules; on the last day it was ``fired``."""
    plan = Cron(f"{due.minute} {due.hour} * * *", ZONE)
    ScheduleLedger(ledger.engine).create(schedules.Schedule(name, "a.tick", plan), by=None)
    ledger.sql("update millrace.schedules set declared_at = now() - interval '9 days' where name = %s", name)
    ledger.sql("update millrace.schedules set next_due = %s where name = %s", due + DAY if fired else due, name)
    last = due if fired else due - DAY
    ledger.sql(
        "insert into millrace.slots (schedule, due_at, outcome, clock) values (%s, %s, 'fired', 'x')", name, last
    )


def due_at(ledger: Ledger, name: str = "s") -> datetime.datetime | None:
    """When it is due."""
    found: datetime.datetime | None = ledger.sql("select next_due from millrace.schedules where name = %s", name)[0][0]
    return found


def test_an_instant_that_the_new_rules_put_into_the_past_is_due(
    ledger: Ledger, clock: Clock, now: datetime.datetime, new_rules: Change
) -> None:
    daily(ledger, now + HALF, fired=False)
    new_rules(1)
    assert replan.replan(ledger.engine) == 1
    assert clock.fire() == [("s", "caught_up", None)]
    assert ledger.sql("select max(due_at) from millrace.slots") == [(now - HALF,)]
    assert due_at(ledger) == now - HALF + DAY
    assert replan.replan(ledger.engine) == 0


def test_a_day_that_has_run_does_not_run_again_where_the_new_rules_have_its_instant_later(
    ledger: Ledger, clock: Clock, now: datetime.datetime, new_rules: Change
) -> None:
    daily(ledger, now - HALF, fired=True)
    new_rules(-1)
    assert replan.replan(ledger.engine) == 1
    assert due_at(ledger) == now + HALF + DAY
    assert replan.replan(ledger.engine) == 0


@pytest.mark.parametrize("first", ["fire", "replan"])
def test_an_instant_that_is_due_when_the_clock_starts_is_fired_once_whatever_the_clock_does_first(
    ledger: Ledger, clock: Clock, now: datetime.datetime, new_rules: Change, first: str
) -> None:
    daily(ledger, now - HALF, fired=False)
    new_rules(-1)
    if first == "fire":
        assert clock.fire() == [("s", "caught_up", None)]
        replan.replan(ledger.engine)
        assert due_at(ledger) == now + HALF + DAY
    else:
        replan.replan(ledger.engine)
        assert clock.fire() == []
        assert due_at(ledger) == now + HALF


@pytest.mark.parametrize("declared", [9 * DAY, HALF / 2])
def test_a_single_instant_is_fired_and_not_left_out(
    ledger: Ledger, clock: Clock, now: datetime.datetime, new_rules: Change, declared: datetime.timedelta
) -> None:
    once = schedules.Schedule("s", "a.tick", At((now + HALF).replace(tzinfo=None), ZONE))
    ScheduleLedger(ledger.engine).create(once, by=None)
    ledger.sql("update millrace.schedules set declared_at = %s", now - declared)
    new_rules(1)
    assert replan.replan(ledger.engine) == 1
    assert clock.fire() == [("s", "caught_up", None)]
    assert replan.replan(ledger.engine) == 0
    assert due_at(ledger) is None


def test_what_sleeps_in_a_pause_is_planned_anew_too(
    ledger: Ledger, clock: Clock, now: datetime.datetime, new_rules: Change
) -> None:
    daily(ledger, now + HALF, fired=False)
    operator = ScheduleLedger(ledger.engine)
    operator.pause("s", by="ada")
    new_rules(-1)
    assert replan.replan(ledger.engine) == 1
    assert due_at(ledger) is None
    operator.resume("s", by="ada")
    assert due_at(ledger) == now + HALF + HOUR


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_day_that_another_clock_planned_by_its_own_rules_runs_once(
    ledger: Ledger, clock: Clock, now: datetime.datetime, new_rules: Change, hours: float
) -> None:
    daily(ledger, now - HALF, fired=False)
    new_rules(hours)
    assert clock.fire() == [("s", "caught_up", None)]
    assert ledger.sql("select max(due_at) from millrace.slots") == [(now - HALF,)]
    assert due_at(ledger) == now - HALF + DAY - hours * HOUR
    assert clock.fire() == []


def test_an_edit_at_a_door_with_other_rules_runs_no_day_twice(
    ledger: Ledger, clock: Clock, now: datetime.datetime, new_rules: Change
) -> None:
    daily(ledger, now - HALF, fired=True)
    new_rules(-1)  # By them the day's run is still to come.
    operator = ScheduleLedger(ledger.engine)
    plan = Cron(f"{(now - HALF).minute} {(now - HALF).hour} * * *", ZONE)
    operator.edit("s", lambda _: schedules.Schedule("s", "a.tick", plan, payload={"n": 1}), revision=None, by="ada")
    assert due_at(ledger) == now - HALF + DAY
    # Another plan is another promise.
    other = Cron(plan.expression.replace("* * *", "* * 0-6"), ZONE)
    operator.edit("s", lambda _: schedules.Schedule("s", "a.tick", other), revision=None, by="ada")
    assert due_at(ledger) == now + HALF


def test_a_pause_that_ends_at_a_door_with_other_rules_runs_no_day_twice(
    ledger: Ledger, clock: Clock, now: datetime.datetime, new_rules: Change
) -> None:
    daily(ledger, now - HALF, fired=False)
    operator = ScheduleLedger(ledger.engine)
    ledger.sql("update millrace.schedules set planned = next_due, next_due = null, paused_at = now()")
    new_rules(-1)
    operator.resume("s", by="ada")
    assert ledger.sql("select due_at, reason from millrace.slots order by due_at desc limit 1") == [
        (now - HALF, "paused")
    ]
    assert due_at(ledger) == now + HALF + DAY


def test_code_that_is_changed_beside_its_plan_runs_no_day_twice_by_other_rules(
    ledger: Ledger, now: datetime.datetime, new_rules: Change
) -> None:
    expression = f"{(now - HALF).minute} {(now - HALF).hour} * * *"
    Clock(ledger, schedules.Schedule("s", "a.tick", Cron(expression, ZONE))).declarations.declare()
    assert due_at(ledger) == now - HALF + DAY
    new_rules(-1)
    changed = schedules.Schedule("s", "a.tick", Cron(expression, ZONE), payload={"n": 1})
    Clock(ledger, changed).declarations.declare()
    assert due_at(ledger) == now - HALF + DAY


def test_rules_that_are_the_same_change_nothing(ledger: Ledger, now: datetime.datetime, new_rules: Change) -> None:
    for number, due in enumerate((now - HALF, now + HALF)):
        daily(ledger, due, fired=number == 0, name=f"s{number}")
    new_rules(0)
    assert replan.replan(ledger.engine) == 0
