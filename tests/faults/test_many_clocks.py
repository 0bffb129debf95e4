"""Any number of clocks, killed and frozen as it comes; servers that go and come back (P5).

Each instant has its slot, once, and is late by two seconds at the most.
"""

from __future__ import annotations

import datetime
import json
import os
import random
import socket
import time
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest

from service.domain import ids, schedules
from service.ledger.schedules import ScheduleLedger
from service.local import ports
from service.local.postgres import PostgresServer
from service.local.rabbitmq import RabbitNode
from service.plans import Interval
from tests.faults.checker import NOW, assert_accounted
from tests.faults.proxy import Proxy
from tests.faults.test_clocks import assert_each_slot_once, wait_for_slots
from tests.patience import PATIENCE, wait
from tests.road import Process, Road

MakeRoad = Callable[..., Road]

LATE = 2.0  #: seconds: P5
KILLS = 20
FREEZE = 60.0  #: seconds
SLOTS = "select count(*) from millrace.slots where schedule = %s and due_at > %s"
LATEST = "select max(late) from millrace.slots where schedule = %s and due_at > %s and due_at <= %s"
#: Seconds from a tick's instant to its first message.
PUBLISHED = "select count(*) from millrace.tickets where queue = 'periodic' and published_at is null"


def lateness(road: Road, since: datetime.datetime) -> tuple[float, float]:
    """The most seconds from an instant to its slot, and to the end of its event, which comes after its first message.

    Of all instants since then whose events are over.
    """
    late = "select max(late + missed) from millrace.slots where schedule = 'ticking.second' and due_at > %s"
    worked = "select max(extract(epoch from finished_at - slot_at)) from millrace.events where slot_at > %s"
    return float(road.one(late, since)), float(road.one(worked, since))


def is_there(road: Road, clock: Process) -> bool:
    """Whether a clock has begun: since it was started, the ledger knows it."""
    return bool(road.one("select count(*) from millrace.clocks where name like '%%:' || %s", str(clock.pid)))


def freeze_at(road: Road, point: str) -> Process:
    """A clock that stands still at this point, with whatever it holds there."""
    armed = road.arm(f"{point}:freeze")
    clock = road.clock(crash_at=armed.setting)
    armed.wait(40)
    return clock


@pytest.mark.heavy
class TestFiveClocks:
    """Five clocks and a worker; a slot each second."""

    @pytest.fixture(scope="class")
    @classmethod
    def road(cls, make_standing: MakeRoad) -> Road:
        road = make_standing(apps="tests.apps.ledger_app,tests.apps.ticking_app")
        road.worker()
        return road

    @pytest.fixture(scope="class")
    @classmethod
    def clocks(cls, road: Road) -> list[Process]:
        clocks = [road.clock() for _ in range(5)]
        wait(lambda: road.one("select count(*) from millrace.clocks") == 5, 40, "all clocks are there")
        wait_for_slots(road, 2)
        return clocks

    @pytest.mark.fault(45)
    @pytest.mark.fault(46)
    @pytest.mark.fault(47)
    def test_they_are_killed_and_frozen_at_random_and_each_slot_is_fired_once_and_in_time(
        self, road: Road, clocks: list[Process], record_property: Callable[[str, object], None]
    ) -> None:
        """Twenty times killed; one is frozen for a minute, in the middle of a slot. One that is well is always left."""
        seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(1_000_000))
        print(f"SEED={seed}")  # noqa: T201
        record_property("seed", seed)
        dice, since, begun = random.Random(seed), road.one(NOW), time.monotonic()
        sleeper = freeze_at(road, "clock_before_slots")
        frozen: list[Process] = []
        kills = 0
        while kills < KILLS or time.monotonic() < begun + FREEZE:
            well = [c for c in clocks if c not in frozen and is_there(road, c)]
            if len(well) > 1 and kills < KILLS and dice.random() < 0.6:
                victim = dice.choice(well)
                victim.kill()
                kills += 1
                time.sleep(dice.uniform(0.0, 0.5))
                victim.restart()
            elif len(well) > 1 and len(frozen) < 2:
                frozen.append(dice.choice(well))
                frozen[-1].freeze()
            if frozen and dice.random() < 0.6:
                frozen.pop(0).thaw()
            time.sleep(dice.uniform(0.1, 0.8))
        for victim in (*frozen, sleeper):
            victim.thaw()
        wait_for_slots(road, 3)
        sleeper.stop()
        assert assert_accounted(road, since) >= 50
        assert_each_slot_once(road)
        slot, message = lateness(road, since)
        record_property("slot late by", slot)
        record_property("worked after", message)
        assert slot <= LATE * PATIENCE
        assert message <= LATE * PATIENCE


@pytest.mark.heavy
@pytest.mark.fault(45)
def test_what_operators_change_holds_for_all_clocks_within_a_second(make_road: MakeRoad) -> None:
    """The clocks have nothing else to do, so nothing wakes them up early."""
    road = make_road()
    for _ in range(2):
        road.clock()
    wait(lambda: road.one("select count(*) from millrace.clocks") == 2, 40, "both clocks are there")
    operator = ScheduleLedger(road.engine)
    begun = road.one(NOW)
    for name in ("one", "two", "three", "made"):
        operator.create(schedules.Schedule(name, "ledger.step", Interval(1)), by="test")
        created = road.one(NOW)
        wait(lambda name=name: road.one(SLOTS, name, begun) >= 2, 10, "it is fired")
        first, late = road.sql("select min(due_at), max(late) from millrace.slots where schedule = %s", name)[0]
        assert (first - created).total_seconds() <= 1.0
        assert late <= 1.0 * PATIENCE
        if name != "made":
            operator.delete(name, revision=None)
            time.sleep(1)  # The clocks have seen that nothing is left.
    operator.pause("made", by="test")
    paused = road.one(NOW)
    time.sleep(2)
    assert road.one(SLOTS, "made", paused) == 0
    operator.resume("made", by="test")
    resumed = road.one(NOW)
    wait(lambda: road.one(SLOTS, "made", resumed) >= 2, 10, "it is fired again")
    assert road.one("select max(late) from millrace.slots where due_at > %s", resumed) <= 1.0 * PATIENCE
    operator.delete("made", revision=None)
    deleted = road.one(NOW)
    time.sleep(2)
    assert road.one(SLOTS, "made", deleted) == 0
    assert_accounted(road, begun, "made")


class TestCrashes:
    """Two clocks, of which one dies at a certain line; a worker."""

    @pytest.fixture(scope="class")
    @classmethod
    def road(cls, make_standing: MakeRoad) -> Road:
        road = make_standing(apps="tests.apps.ticking_app")
        road.worker(concurrency=1)
        road.clock()
        wait_for_slots(road, 1)
        return road

    @pytest.mark.heavy
    @pytest.mark.fault(46)
    @pytest.mark.parametrize(
        "point", ["clock_before_slots", "clock_after_slots", "clock_before_publish", "after_confirm"]
    )
    def test_a_clock_dies_at_any_point_of_a_tick(self, road: Road, point: str) -> None:
        since = road.one(NOW)
        armed = road.arm(point)
        clock = road.clock(crash_at=armed.setting)
        armed.at(clock)
        armed.wait_for_death(clock, 40)
        died = road.one(NOW)
        wait_for_slots(road, 3)
        assert_accounted(road, since)
        self.assert_in_time(road, since, died)
        clock.stop()

    @pytest.mark.heavy
    @pytest.mark.fault(47)
    @pytest.mark.parametrize(
        "point", ["clock_before_slots", "clock_after_slots", "clock_before_publish", "after_confirm"]
    )
    def test_a_clock_freezes_at_any_point_of_a_tick(self, road: Road, point: str) -> None:
        """In the middle of a slot's transaction, and between taking its ticket and marking that it is out."""
        since = road.one(NOW)
        clock = freeze_at(road, point)
        froze = road.one(NOW)
        wait_for_slots(road, 4)
        self.assert_in_time(road, since, froze)
        clock.thaw()
        wait_for_slots(road, 3)
        assert_accounted(road, since)
        assert_each_slot_once(road)
        clock.stop()

    @staticmethod
    def assert_in_time(road: Road, since: datetime.datetime, until: datetime.datetime) -> None:
        """Slots, and the first messages of their events, which are worked by then."""
        pending = "select count(*) from millrace.events where slot_at > %s and slot_at < %s and state = 'pending'"
        wait(lambda: road.one(pending, since, until) == 0, 10, "the ticks until then are worked")
        slot, message = lateness(road, since)
        assert slot <= LATE * PATIENCE
        assert message <= LATE * PATIENCE
        assert_each_slot_once(road)


class TestOutages:
    """Two clocks; the servers go and come back."""

    @pytest.fixture(scope="class")
    @classmethod
    def line(cls, make_line: Callable[[int], Proxy], broker_node: RabbitNode) -> Proxy:
        return make_line(broker_node.port)

    @pytest.fixture(scope="class")
    @classmethod
    def road(cls, make_standing: MakeRoad, line: Proxy) -> Road:
        road = make_standing(apps="tests.apps.ticking_app")
        for _ in range(2):
            road.clock(broker_url=line.instead_of(road.broker))
        wait_for_slots(road, 2)
        return road

    @pytest.mark.heavy
    @pytest.mark.fault(1)
    @pytest.mark.fault(45)
    @pytest.mark.parametrize("weather", [{"refused": True}, {"paused": True}], ids=["gone", "frozen"])
    def test_slots_are_in_time_without_a_broker_and_published_when_it_is_back(
        self, road: Road, line: Proxy, weather: dict[str, Any]
    ) -> None:
        since = road.one(NOW)
        with line.weather_of(**weather):
            if "refused" in weather:
                line.reset()
            time.sleep(5)
        back = road.one(NOW)
        assert road.one(LATEST, "ticking.second", since, back) <= 1.0 * PATIENCE
        assert assert_accounted(road, since) >= 4
        wait(lambda: road.one(f"{PUBLISHED} and id < %s", ids.floor(back)) == 0, 15, "all are published")
        took = "select extract(epoch from max(published_at) - %s) from millrace.tickets where id < %s"
        assert road.one(took, back, ids.floor(back)) <= LATE * PATIENCE

    @pytest.mark.heavy
    @pytest.mark.fault(15)
    @pytest.mark.fault(45)
    def test_a_slot_is_fired_when_the_ledger_is_back(self, road: Road, ledger_server: PostgresServer) -> None:
        since = road.one(NOW)
        ledger_server.kill()
        time.sleep(4)
        ledger_server.start()
        back = road.one(NOW)
        wait(lambda: road.one("select count(*) from millrace.slots where fired_at > %s", back) > 0, 15, "it is back")
        first = road.one("select min(fired_at) from millrace.slots where fired_at > %s", back)
        assert (first - back).total_seconds() <= LATE * PATIENCE
        wait_for_slots(road, 2)
        assert_accounted(road, since)

    @pytest.mark.heavy
    @pytest.mark.fault(45)
    def test_slots_are_in_time_while_publishing_and_upkeep_stand_still(self, road: Road, line: Proxy) -> None:
        with line.weather_of(paused=True), road.locked("millrace.duties"):
            since = road.one(NOW)
            wait_for_slots(road, 5)
            assert road.one(LATEST, "ticking.second", since, road.one(NOW)) <= 0.5 * PATIENCE


@pytest.mark.heavy
def test_a_clock_answers_celerys_ping_and_shows_that_it_ticks(make_road: MakeRoad) -> None:
    road = make_road()
    port = ports.free()
    words = ["beat", "--pidfile=", "--enable-remote-control", "-n", "clock-1@%h"]
    clock = road.run("clock", "celery", "-A", "schedules", *words, metrics_port=str(port))
    wait(lambda: road.one("select count(*) from millrace.clocks") == 1, 30, "the clock is there")
    node = f"clock-1@{socket.gethostname()}"
    ping = road.run("ping", "celery", "-A", "schedules", "inspect", "ping", "-d", node, "-t", "10")
    assert ping.wait_for_end(40) == 0
    assert f"{node}: OK" in ping.text()
    assert "pong" in ping.text()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as answer:
        assert (answer.status, json.load(answer)["status"]) == (200, "ok")
    clock.stop()
