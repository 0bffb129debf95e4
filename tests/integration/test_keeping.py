"""The built-in schedules: declared by the user's door, their events ask the clocks and end with what came of it."""

from __future__ import annotations

import configparser
import importlib
import pathlib
import sys

import pytest

from service import plugins
from service.domain import handlers, keeping, schedules
from service.ledger import engine as engines
from service.ledger import retention
from service.ledger.declared import Declarations
from service.ledger.slots import SlotLedger
from service.ledger.upkeep import Upkeep
from tests import days
from tests.ledgers import Ledger

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture
def calendar(monkeypatch: pytest.MonkeyPatch) -> schedules.Calendar:
    """What the app declares, into a registry and a calendar of the test's own."""
    registry, found = handlers.Registry(), schedules.Calendar()
    monkeypatch.setattr(plugins, "registry", registry)
    monkeypatch.setattr(plugins, "calendar", found)
    for part in ("handlers", "schedules"):
        sys.modules.pop(f"service.keeping.{part}", None)
        importlib.import_module(f"service.keeping.{part}")
    assert {handler.type for handler in registry} == {schedule.type for schedule in found} == set(keeping.DUTIES)
    return found


def test_it_enters_by_the_door_of_every_app() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    assert "keeping = service.keeping" in config["options.entry_points"][plugins.GROUP]


@pytest.mark.postgres
def test_a_tick_asks_the_clocks_and_ends_with_what_came_of_it(database: str, calendar: schedules.Calendar) -> None:
    ledger = Ledger(database)
    for handler in plugins.registry:
        ledger.registry.add(handler)
    old = days.ago(40)
    days.make(ledger, old)
    days.fill(ledger, old, 3, "succeeded")
    upkeep = Upkeep(ledger.engine)
    upkeep.make_partitions(), upkeep.fold_tallies()
    clock = Declarations(engines.Engine(database), calendar, clock="clock")
    clock.declare()
    ledger.sql("update millrace.schedules set next_due = next_due - interval '1 day'")
    fired, _ = SlotLedger(engines.Engine(database), clock.calendar, clock="clock").fire_due(10)
    assert {slot.schedule for slot in fired.settled} == set(keeping.DUTIES)

    ticks = "select type, state, result from millrace.events where type like 'millrace.%%' order by type"
    ledger.work()
    assert {state for _, state, _ in ledger.sql(ticks)} == {"pending"}, "nobody has done it yet"
    upkeep.make_partitions(), upkeep.fold_tallies()
    clears = retention.Retention(engines.Engine(database), keep=30 * 86_400.0, by="clock")
    assert clears.run_once() is not None
    ledger.work()
    found = {type_name: (state, result) for type_name, state, result in ledger.sql(ticks)}
    assert {state for state, _ in found.values()} == {"succeeded"}
    assert all("done_at" in result for _, result in found.values())
    assert found[keeping.RETENTION][1]["days"] == [{"day": old.isoformat(), "events": 3, "kept": 0, "word": "removed"}]
    ledger.check()


@pytest.mark.postgres
def test_where_no_clock_does_it_the_event_says_so(
    database: str, calendar: schedules.Calendar, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger(database)
    app = importlib.import_module("service.keeping.handlers")
    ledger.handler(keeping.RETENTION, app.ask)
    monkeypatch.setattr(app, "GIVEN_UP", -1)
    ledger.post(keeping.RETENTION, {})
    ledger.work()
    assert ledger.states() == {"dead": 1}
