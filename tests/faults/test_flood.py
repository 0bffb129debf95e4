"""A slow type and a broken one flood the queue of a quick one, which is worked all the same, and soon (P6)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from schedules import duty
from tests import servers
from tests.door import Door
from tests.faults import checker
from tests.faults.checker import Record, Trial
from tests.faults.stack import Stack
from tests.patience import PATIENCE, wait
from tests.road import Gate, Road

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(600)]

SLOW = {"do": "sleep", "seconds": 0.2}
FLOOD = 1_500  #: slow events: five minutes of work, for six hands 50 seconds
BROKEN = 60  #: events that always fail while the flood lasts, tried about every two seconds
RATE = 10.0  #: posts of the quick type a second meanwhile
QUICK = 120  #: such posts
SOON = 5.0  #: seconds from accepted to worked, for 99 of 100 of these
DRAIN = 120  #: seconds for what is left of the flood


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    servers.need_postgres()
    servers.need_rabbitmq()
    with Stack(tmp_path_factory.mktemp("flood")) as found:
        yield found


@pytest.mark.fault(37)
@pytest.mark.fault(39)
def test_a_quick_type_is_worked_soon_while_a_slow_one_and_a_broken_one_flood_its_queue(
    stack: Stack, trial: Trial, record_property: Record
) -> None:
    road, door = stack.road, stack.doors[0]
    measure(road, door)
    gate = Gate(stack.folder)
    with trial(road, *stack.doors, drain=DRAIN, rate=RATE) as load:
        slow = flood(road, door, "ledger.alone", FLOOD, **SLOW)
        broken = flood(road, door, "ledger.torn", BROKEN, do="need", gate=str(gate.folder))
        before = set(load.accepted())
        load.wait_for_accepted(QUICK)
        quick = [event for number, event in load.accepted().items() if number not in before]
        assert len(open_of(road, slow)) > FLOOD / 4, "the flood was over before the others came"
        tried = road.one("select min(attempt) from millrace.events where id = any(%s::uuid[])", broken)
        assert tried, "the broken ones have no turn"
        road.wait_until_closed(quick, DRAIN)
        latency = checker.p99(road, quick)
        record_property("p99", round(latency, 1))
        record_property("left", len(open_of(road, slow)))
        gate.open()
    assert latency < SOON * PATIENCE
    road.assert_worked_once([*slow, *broken, *quick])


def measure(road: Road, door: Door) -> None:
    """Have the clocks learn how long the slow type takes, as they have of every type that is not quite new."""
    known = "select most_out < 1000 from millrace.types where name = 'ledger.alone'"
    for answer in door.post_all("ledger.alone", [SLOW] * 20):
        assert answer.status == 202
    wait(lambda: road.sql(known) == [(True,)], duty.SILENT, "its pace is known", step=0.2)


def flood(road: Road, door: Door, type_name: str, number: int, **payload: object) -> list[str]:
    """Post so many events at once; their ids."""
    before = set(road.ids(type_name))
    assert door.post_many(type_name, number, **payload).status == 202
    return [i for i in road.ids(type_name) if i not in before]


def open_of(road: Road, ids: list[str]) -> list[str]:
    """Those of these that are not through."""
    statement = "select id::text from millrace.events where id = any(%s::uuid[]) and state = 'pending'"
    return [i for (i,) in road.sql(statement, ids)]
