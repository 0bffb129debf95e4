"""Schedules that are changed in every way, as fast as it goes, while real clocks fire them; and a new tz database.

What stood when is noted by a trigger. Then each plan's instants are counted: none is lost, none is doubled.
"""

from __future__ import annotations

import contextlib
import datetime
import itertools
import os
import pathlib
import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from service.domain import errors, policies, schedules
from service.domain.policies import Misfire, Overlap, Policy
from service.ledger import engine as engines
from service.ledger.declared import Declarations
from service.ledger.schedules import ScheduleLedger
from service.plans import Cron, Interval
from tests import zones
from tests.patience import wait
from tests.road import Process, Road

MakeRoad = Callable[..., Road]

HAMMERED = 12.0  #: seconds
APP = "tests.apps.ticking_app"
#: What an operator changes, as often as not to another grid.
MADE = {
    "all": Policy(misfire=Misfire.ALL),
    "last": Policy(jitter=0.7),
    "queue": Policy(overlap=Overlap.QUEUE_ONE),
    "skip": Policy(overlap=Overlap.SKIP, misfire=Misfire.ALL),
}
TOLERATED = (errors.LedgerUnavailable, errors.BeingWorked, errors.ScheduleNotFound, errors.ScheduleExists)

# `began` and `at` enclose the moment of a deletion, which stands nowhere else.
NOTE = """
create table millrace.eras (
    n bigserial, name text, every float8, begins timestamptz, ends timestamptz, began timestamptz, at timestamptz);
create function millrace.note_era() returns trigger language plpgsql as $$
begin
    if tg_op = 'DELETE' then
        insert into millrace.eras (name, began, at) values (old.name, now(), clock_timestamp());
    elsif new.retired_at is not null then
        insert into millrace.eras (name, ends) values (new.name, new.retired_at);
    else
        insert into millrace.eras (name, every, begins)
        values (new.name, (new.spec->'plan'->>'every')::float8, new.declared_at);
    end if;
    return null;
end $$;
create trigger note_era after insert or delete or update of spec, retired_at on millrace.schedules
for each row execute function millrace.note_era();
"""
ERAS = "select every, begins, ends, began, at from millrace.eras where name = %s order by n"
SLOTS = """
select count(*)::int, coalesce(sum(missed), 0)::int,
       count(*) filter (where extract(epoch from due_at)::numeric %% %s::int <> 0)::int
from millrace.slots where schedule = %s and due_at > %s and due_at <= %s and outcome <> 'run_now'
"""


def instants(every: float, begin: datetime.datetime, end: datetime.datetime) -> int:
    """How many a grid has after the one moment, up to the other."""
    return int(end.timestamp() // every - begin.timestamp() // every)


def accounted(road: Road, name: str) -> tuple[int, int]:
    """How many plans the schedule has had one after the other, and how many instants; each of which is accounted for.

    An instant in the moment of a deletion may be one or not.
    """
    eras, found = road.sql(ERAS, name), 0
    standing: tuple[float, datetime.datetime] | None = None
    for every, begins, ends, began, at in eras:
        if standing is not None:
            low, high = (begins or ends or began), (begins or ends or at)
            grid, since = standing
            slots, missed, aside = road.sql(SLOTS, grid, name, since, high)[0]
            told = f"{name}, every {grid} s from {since} to {low}"
            assert aside == 0, f"{told}: {aside} slots at instants of no plan"
            least, most = instants(grid, since, low), instants(grid, since, high)
            assert least <= slots + missed <= most, f"{told}: {slots} slots, {missed} missed, {least} instants"
            found += slots + missed
        standing = None if every is None else (every, begins)
    assert standing is None, "the last plan has not ended"
    return len([era for era in eras if era[0] is not None]), found


def operate(road: Road, seed: int, stop: threading.Event, acts: itertools.count[int]) -> None:
    """Make, change, pause, resume and delete, until it is told to stop."""
    dice, operator = random.Random(seed), ScheduleLedger(engines.Engine(road.database))
    while not stop.is_set():
        name = dice.choice(list(MADE))
        grid = dice.choice((1, 1, 2, 3))
        found = schedules.Schedule(name, "ledger.step", Interval(grid), {"n": next(acts)}, MADE[name])

        def change(_: dict[str, Any], to: schedules.Schedule = found) -> schedules.Schedule:
            return to

        act = dice.choice(("edit", "edit", "edit", "pause", "resume", "resume", "delete", "create", "create"))
        with contextlib.suppress(*TOLERATED):
            if act == "create":
                operator.create(found, by="hammer")
            elif act == "edit":
                operator.edit(name, change, revision=None, by="hammer")
            elif act == "delete":
                operator.delete(name, revision=None, by="hammer")
            else:
                getattr(operator, act)(name, by="hammer")
        stop.wait(dice.uniform(0.0, 0.15))


def versions(road: Road) -> list[Declarations]:
    """Clocks that only declare, of two versions of the code: without the schedule of the real clocks, and with it."""
    found = []
    for number in range(2):
        calendar = schedules.Calendar()
        if number:
            calendar.add(schedules.Schedule("ticking.second", "ticking.second", Interval(1.0), app=APP))
        found.append(Declarations(engines.Engine(road.database), calendar, clock=f"v{number}", apps=[APP]))
    return found


def deploy(road: Road, stop: threading.Event) -> None:
    """Versions of the code come and go, until it is told to stop."""
    for version in itertools.cycle(versions(road)):
        with contextlib.suppress(*TOLERATED):
            version.declare()
        if stop.wait(0.7):
            return


@pytest.mark.heavy
@pytest.mark.fault(45)
def test_changes_of_every_kind_between_three_clocks_lose_and_double_nothing(make_road: MakeRoad) -> None:
    """A fourth clock is killed and started again, meanwhile."""
    road = make_road(apps=f"tests.apps.ledger_app,{APP}")
    road.sql(NOTE)
    road.worker()
    clocks = [road.clock() for _ in range(4)]
    wait(lambda: road.one("select count(*) from millrace.clocks") == 4, 60, "all clocks are there")
    stop, acts = threading.Event(), itertools.count()
    with ThreadPoolExecutor(3) as pool:
        running = [pool.submit(operate, road, seed, stop, acts) for seed in (1, 2)]
        running.append(pool.submit(deploy, road, stop))
        try:
            stop.wait(HAMMERED / 2)
            clocks[0].kill()
            clocks[0].restart()
            stop.wait(HAMMERED / 2)
        finally:
            stop.set()
        for one in running:
            one.result(30)
    for clock in clocks:
        clock.ask_to_stop()
    for clock in clocks:
        clock.stop()
    versions(road)[0].declare()
    operator = ScheduleLedger(engines.Engine(road.database))
    due = 0
    for name in [*MADE, "ticking.second"]:
        with contextlib.suppress(errors.ScheduleNotFound):
            operator.delete(name, revision=None, by="hammer")
        plans, instants = accounted(road, name)
        assert plans >= 3, f"{name}: {plans} plans"
        due += instants
    assert due > 20, "hardly anything was due"
    assert next(acts) > 100, "hardly anything was changed"
    assert road.one("select count(*) from millrace.slots where outcome = 'held'") == 0
    events = "select count(*), count(distinct (schedule, slot_at)) from millrace.events where schedule is not null"
    made = road.one("select count(*) from millrace.slots where event_id is not null")
    assert road.sql(events) == [(made, made)]


@pytest.fixture
def trees(tmp_path: pathlib.Path) -> Iterator[tuple[str, str]]:
    """Two states of a tz database: two zones that were UTC, and by the new rules lie an hour before it and after it."""
    found = []
    for name, hours in (("old", 0), ("new", 1)):
        zones.a_tree(tmp_path / name, -hours, zone="Test/Later")
        found.append(zones.a_tree(tmp_path / name, hours, zone="Test/Earlier"))
    with zones.rules(found[0]):
        yield found[0], found[1]


@pytest.mark.heavy
@pytest.mark.fault(50)
def test_a_clock_that_is_started_again_with_a_new_tz_database_fires_each_day_once(
    make_road: MakeRoad, trees: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    road, (old, new) = make_road(), trees
    monkeypatch.setenv("PYTHONTZPATH", os.pathsep.join((old, "/usr/share/zoneinfo")))
    clock: Process = road.clock()
    wait(lambda: road.one("select count(*) from millrace.clocks") == 1, 40, "the clock is there")
    operator, hour = ScheduleLedger(road.engine), datetime.timedelta(hours=1)
    now = road.one("select date_trunc('second', clock_timestamp())").astimezone(datetime.UTC)
    soon, later = now + datetime.timedelta(seconds=4), now + hour / 2
    for name, due in (("Later", soon), ("Earlier", later)):
        plan = Cron(f"{due.second} {due.minute} {due.hour} * * *", f"Test/{name}")
        operator.create(schedules.Schedule(name.lower(), "ledger.step", plan, policy=policies.Policy()), by=None)
    road.sql("update millrace.schedules set declared_at = now() - interval '2 hours' where name = 'earlier'")
    fired = "select due_at from millrace.slots where schedule = %s"
    wait(lambda: road.sql(fired, "later") == [(soon,)], 20, "the day's instant is fired by the old rules")
    clock.stop()
    clock.environment["PYTHONTZPATH"] = os.pathsep.join((new, "/usr/share/zoneinfo"))
    clock.restart()
    wait(lambda: road.sql(fired, "earlier") == [(later - hour,)], 40, "what lies in the past by now is fired")
    day = datetime.timedelta(days=1)
    planned = "select coalesce(planned, next_due) from millrace.schedules where name = %s"
    wait(lambda: road.one(planned, "later") == soon + hour + day, 20, "the day that has run is over")
    assert road.one(planned, "earlier") == later - hour + day
    assert road.sql(fired, "later") == [(soon,)]
