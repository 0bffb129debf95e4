"""Clocks on the whole road: a ticket goes again only on evidence, and any number of clocks fire a slot once (P5)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import pytest

from service.domain import topology
from service.domain.ticket import Ticket
from tests.patience import PATIENCE, wait
from tests.road import Gate, Process, Road

MakeRoad = Callable[..., Road]

OF_A_TICKET = 1.0  #: seconds of its patience
WAITING = "select count(*) from pg_locks where relation = 'millrace.slots'::regclass and not granted"
LATE = 2.0  #: seconds by which a slot may be late when a clock is lost: P5


class TestEvidence:
    """Tickets are out, their patience has ended, and one clock looks for them each second."""

    @pytest.fixture(scope="class")
    @classmethod
    def road(cls, make_standing: MakeRoad) -> Road:
        limits = {"soft_limit": str(40 * PATIENCE), "hard_limit": str(50 * PATIENCE)}  # Who stands at the gate stays.
        road = make_standing(patience=str(OF_A_TICKET), **limits)
        road.clock()
        return road

    @pytest.fixture
    def worker(self, road: Road) -> Iterator[Callable[[], Process]]:
        """Starts a worker with one child."""
        started: list[Process] = []

        def start() -> Process:
            started.append(road.worker(concurrency=1))
            return started[-1]

        yield start
        for process in started:
            process.stop()

    def test_a_backlog_is_published_again_only_when_its_queue_is_empty(
        self, road: Road, worker: Callable[[], Process]
    ) -> None:
        ids = events(send_out(road, 6))
        wait_until_overdue(road, ids)
        assert publishes(road, ids) == [1] * 6
        assert road.ready() == 6

        road.channel(lambda channel: channel.queue_purge(topology.EVENTS_QUEUE))
        wait(lambda: publishes(road, ids) == [2] * 6, 10, "all are published again")
        wait(lambda: road.ready() == 6, 10, "all are in the queue")
        worker()
        road.assert_worked_once(ids)

    def test_a_ticket_that_was_passed_by_is_published_again_and_what_waits_behind_it_is_not(
        self, road: Road, worker: Callable[[], Process]
    ) -> None:
        gate = Gate(road.folder)
        lost = send_out(road, 1)
        # So much later must the next be published to tell anything.
        wait_until_overdue(road, events(lost), OF_A_TICKET)
        later, stopped, behind = send_out(road, 3), send_out(road, 1, gate.payload), send_out(road, 8)
        lose(road, lost[0])
        wait_until_overdue(road, events(behind))
        assert publishes(road, events([*lost, *later, *stopped, *behind])) == [1] * 13, "a guess, and no evidence"

        worker()
        gate.wait()  # The one before was worked, and the queue is not empty.
        wait(lambda: publishes(road, events(lost)) == [2], 10, "what was lost is published again")
        wait_until_overdue(road, events(behind))
        assert publishes(road, events([*stopped, *behind])) == [1] * 9
        gate.open()
        road.assert_worked_once(events([*lost, *later, *stopped, *behind]))


class TestTicks:
    """A slot each second."""

    @pytest.fixture(scope="class")
    @classmethod
    def road(cls, make_standing: MakeRoad) -> Road:
        road = make_standing(apps="tests.apps.ticking_app")
        road.worker()
        return road

    @pytest.mark.fault(45)
    @pytest.mark.fault(47)
    def test_three_clocks_one_killed_and_one_frozen_fire_each_slot_once(self, road: Road) -> None:
        killed, frozen, other = (road.clock() for _ in range(3))
        wait_for_slots(road, 3)
        killed.kill()
        frozen.freeze()
        wait_for_slots(road, 3)
        frozen.thaw()
        wait_for_slots(road, 3)

        assert_each_slot_once(road)
        late = road.one("select max(extract(epoch from fired_at - due_at) + missed) from millrace.slots")
        assert late <= LATE * PATIENCE
        frozen.stop()
        other.stop()

    @pytest.mark.fault(47)
    def test_a_clock_that_freezes_in_the_middle_of_a_slot_does_not_stop_the_others(self, road: Road) -> None:
        with road.locked("millrace.slots"):
            frozen = road.clock()
            wait(lambda: road.one(WAITING) == 1, 20, "the clock is in the middle of a slot")
            frozen.freeze()
        road.clock()
        wait_for_slots(road, 3)
        frozen.thaw()
        wait_for_slots(road, 3)
        assert_each_slot_once(road)


def send_out(road: Road, number: int, payload: str = "{}") -> list[Ticket]:
    """Have the clock publish so many tickets of one event each, after those that are in the queue."""
    before = road.ready()
    tickets = road.store("ledger.alone", [payload] * number, bundle=1, head_start=0.01)
    wait(lambda: publishes(road, events(tickets)) == [1] * number, 10, "the clock publishes them")
    wait(lambda: road.ready() == before + number, 10, "they are in the queue")
    return tickets


def events(tickets: Iterable[Ticket]) -> list[str]:
    """All events of these tickets."""
    return [i for ticket in tickets for i in ticket.event_ids]


def publishes(road: Road, ids: Iterable[str]) -> list[int]:
    """How often each of the tickets of these events was published."""
    return [row["publishes"] for row in road.tickets(ids)]


def wait_until_overdue(road: Road, ids: Iterable[str], seconds: float = 3.0) -> None:
    """Wait until the patience of all their tickets has ended so long ago: the clock has looked several times."""
    asked = list(ids)
    since = (
        "select min(extract(epoch from clock_timestamp() - due_at)) from millrace.tickets where event_ids && %s::uuid[]"
    )
    wait(lambda: road.one(since, asked) > seconds, 15, "their patience has ended")


def lose(road: Road, ticket: Ticket) -> None:
    """Take the first message out of the queue, as a broker does that loses it."""

    message = road.channel(lambda channel: channel.basic_get(topology.EVENTS_QUEUE, no_ack=True))
    assert message.properties["message_id"] == ticket.id


def wait_for_slots(road: Road, number: int) -> None:
    """Wait until so many more slots were fired."""
    slots = "select count(*) from millrace.slots"
    known = road.one(slots)
    wait(lambda: road.one(slots) >= known + number, 20, f"{number} more slots are fired")


def assert_each_slot_once(road: Road) -> None:
    """An event for each slot and none besides; each is worked once."""
    ids = road.ids("ticking.second")
    slots = road.sql(
        "select event_id::text, schedule, due_at from millrace.slots where event_id = any(%s::uuid[])", ids
    )
    events = road.sql("select id::text, schedule, slot_at from millrace.events where id = any(%s::uuid[])", ids)
    assert sorted(slots) == sorted(events)
    road.assert_worked_once(ids)
