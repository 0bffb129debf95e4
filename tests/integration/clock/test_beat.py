"""The whole clock: beat's scheduler and its threads, and what a fault in one does to the others."""

from __future__ import annotations

import logging
import os
import threading
import types
from collections.abc import Callable, Iterator

import pytest

from schedules import duty, scheduler
from service import bootstrap, plugins, settings
from service.application.publish import Release
from service.broker import factory
from service.domain import errors, processes, schedules
from service.ledger import engine as engines
from service.ledger.declared import Declarations
from service.ledger.processes import ProcessLedger
from service.ledger.slots import SlotLedger
from service.ledger.upkeep import Upkeep
from service.ledger.watching import LedgerWatch
from service.plans import Interval
from tests.integration.clock.parts import Clock, a_calendar, held
from tests.ledgers import Ledger, a_release
from tests.patience import PATIENCE

pytestmark = pytest.mark.postgres


class StuckQueue:
    """The queue ``dead`` of a broker that froze."""

    def __init__(self) -> None:
        self.reached, self.thawed = threading.Event(), threading.Event()

    def get(self) -> None:
        self.reached.set()
        self.thawed.wait(30)


@pytest.fixture
def pass_by(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Lets so many seconds go by for the clock's duties, whose time stands still otherwise."""
    now = [1_000.0]
    monkeypatch.setattr(duty, "time", types.SimpleNamespace(monotonic=lambda: now[0]))

    def pass_by(seconds: float) -> None:
        now[0] += seconds

    return pass_by


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
        given = settings.Settings(database_url=ledger.url, broker_url="amqp://unused")
        app.road = bootstrap.ClockRoad(
            given,
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
            bootstrap.noter_of(given, processes.Kind.CLOCK, upkeep_engine),
        )
        started.append(scheduler.Scheduler(app))
        assert queue.reached.wait(20 * PATIENCE)
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


@pytest.mark.usefixtures("pass_by")
def test_a_fault_is_told_and_waited_out_for_longer_each_time(caplog: pytest.LogCaptureFixture) -> None:
    def once() -> None:
        raise ValueError("broken")

    tried = duty.Duty("test", once, longest=10.0)
    for longest in (0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0):
        assert tried.run()
        assert longest / 2 <= tried.rest() <= longest
    assert [r.getMessage() for r in caplog.records] == ["The clock's duty test failed"] * 8


@pytest.mark.usefixtures("pass_by")
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


def test_a_clock_is_healthy_while_it_ticks_and_not_when_it_stalls(
    ledger: Ledger, start: Callable[[], scheduler.Scheduler], pass_by: Callable[[float], None]
) -> None:
    clock = start()
    clock.tick()
    assert clock.health()[0]
    pass_by(scheduler.STALLED)
    healthy, told = clock.health()
    assert (healthy, told["status"], told["seconds_since"]["slots"]) == (False, "stalled", scheduler.STALLED)
    clock.tick()
    ledger.until(lambda: clock.health()[0])  # The others look by themselves.


def test_a_clock_is_not_healthy_when_its_ticks_fail_all_the_time_though_the_ledger_answers(
    ledger: Ledger,
    start: Callable[[], scheduler.Scheduler],
    pass_by: Callable[[float], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = start()
    clock.tick()
    ledger.sql("update millrace.schedules set next_due = next_due - interval '1 hour'")
    ledger.sql("alter table millrace.slots rename to gone")

    def stalls() -> bool:
        clock.tick()
        healthy, told = clock.health()
        assert told["seconds_since"]["slots"] == 0.0, "it is tried"
        if max(told["seconds_since"].values()) < scheduler.STALLED / 2:  # The others have looked meanwhile.
            pass_by(scheduler.STALLED / 4)
        return not healthy

    ledger.until(stalls, 20)
    assert clock.health()[1]["seconds_undone"]["slots"] >= scheduler.STALLED
    with monkeypatch.context() as patch:
        away = duty.Duty("away", raises(errors.LedgerUnavailable()), longest=1.0)
        away.run()
        patch.setattr(clock, "_witnesses", [away])
        assert clock.health()[0], "nobody knows whether the ledger is there"
    ledger.sql("alter table millrace.gone rename to slots")
    clock.tick()
    ledger.until(lambda: clock.health()[0])


def raises(error: Exception) -> Callable[[], None]:
    def once() -> None:
        raise error

    return once


def test_to_wait_for_a_broker_is_no_stall_and_a_fault_ends_how_long_all_was_well(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr(duty.time, "monotonic", lambda: now)
    errors_to_come: list[Exception | None] = [None, errors.BrokerUnavailable(), None, ValueError(), None]

    def once() -> None:
        if error := errors_to_come.pop(0):
            raise error

    tried = duty.Duty("test", once, longest=10.0)
    seen = []
    for _ in range(5):
        now += 10
        tried.run()
        now += 1
        seen.append((tried.undone(), tried.well()))
    assert seen == [(1, 1), (1, 0), (1, 1), (12, 0), (1, 1)]


@pytest.mark.usefixtures("pass_by")
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
