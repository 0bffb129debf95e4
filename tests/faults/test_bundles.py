"""Bundles on the whole road: filled, cut, undone; and never half done (P2).

Which effects were committed together is seen from outside: PostgreSQL keeps with each row who has written it.
"""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from service.domain import topology
from tests.patience import wait
from tests.road import Process, Road


def fail(times: int) -> str:
    """The payload of an event that fails so many times."""
    return json.dumps({"do": "fail", "times": times})


class TestBundles:
    """A worker with one child, and a clock."""

    @pytest.fixture(scope="class")
    @classmethod
    def road(cls, make_standing: Callable[..., Road]) -> Road:
        road = make_standing(soft_limit="20", hard_limit="30")
        road.clock()
        return road

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def worker(cls, road: Road) -> Process:
        return road.worker(concurrency=1)

    def test_events_ride_together_as_many_as_the_type_allows(self, road: Road) -> None:
        tickets = road.store("ledger.step", ["{}"] * 110, bundle=20)
        assert [len(t.event_ids) for t in tickets] == [20, 20, 20, 20, 20, 10]
        ids = [i for t in tickets for i in t.event_ids]

        road.publish(*tickets)
        road.assert_worked_once(ids)
        assert max(road.transactions(ids)) >= 20  # On a slow machine some may have been cut, and others have joined.

    def test_a_bundle_that_takes_long_is_cut_and_its_rest_is_worked_too(self, road: Road) -> None:
        (ticket,) = road.store("ledger.step", [json.dumps({"do": "slow", "seconds": 0.1})] * 8)
        ids = set(ticket.event_ids)
        road.pause("ledger.step")
        road.publish(ticket)
        wait(lambda: road.effects(ids), 10, "a part is committed")

        done = set(road.effects(ids))
        (rest,) = road.tickets(ids)
        assert 1 <= len(done) <= 3  # Three of them take more than 250 ms.
        assert road.states(done) == {"succeeded": len(done)}
        assert road.states(ids - done) == {"pending": 8 - len(done)}
        assert set(rest["event_ids"]) == ids - done
        assert (rest["id"], rest["published_at"]) == (ticket.id, None)

        road.go_on()
        road.assert_worked_once(ids)
        assert max(road.transactions(ids)) <= 3

    def test_when_one_fails_the_others_are_worked_one_by_one(self, road: Road) -> None:
        payloads = ["{}", "{}", fail(1), "{}", fail(9), "{}"]
        (ticket,) = road.store("ledger.step", payloads)
        once, always = ticket.event_ids[2], ticket.event_ids[4]
        road.publish(ticket)

        road.wait_until_closed(ticket.event_ids)
        others = [i for i in ticket.event_ids if i != always]
        assert road.states(others) == {"succeeded": 5}
        assert road.effects(ticket.event_ids) == dict.fromkeys(others, 1)
        assert road.transactions(others) == [1] * 5
        assert attempts(road, once) == [(1, "RuntimeError", "attempt 1 was asked to fail")]
        assert attempts(road, always) == [(n, "RuntimeError", f"attempt {n} was asked to fail") for n in (1, 2, 3)]
        assert road.one("select reason from millrace.dead where event_id = %s", always) == "attempts"
        road.assert_books()

    def test_a_bulk_handler_that_fails_is_given_its_events_one_by_one(self, road: Road) -> None:
        (ticket,) = road.store("ledger.bulk", ["{}", "{}", fail(9), "{}"])
        bad, others = ticket.event_ids[2], [i for n, i in enumerate(ticket.event_ids) if n != 2]
        road.publish(ticket)

        road.wait_until_closed(ticket.event_ids)
        assert road.states(others) == {"succeeded": 3}
        assert road.effects(ticket.event_ids) == dict.fromkeys(others, 1)
        assert road.transactions(others) == [1] * 3
        assert attempts(road, bad) == [(n, "RuntimeError", "asked to fail") for n in (1, 2)]
        road.assert_books()

    @pytest.mark.fault(34)
    def test_a_ticket_that_is_delivered_again_is_worked_one_by_one(self, road: Road, worker: Process) -> None:
        worker.stop()
        (ticket,) = road.store("ledger.step", ["{}"] * 6)
        road.publish(ticket)
        road.channel(lambda channel: channel.basic_get(topology.EVENTS_QUEUE))  # Taken, and never acked.
        worker.restart()

        road.assert_worked_once(ticket.event_ids)
        assert road.transactions(ticket.event_ids) == [1] * 6


def attempts(road: Road, event_id: str) -> list[tuple[int, str, str]]:
    """The failed attempts of an event, as they are kept."""
    return road.sql("select attempt, error, message from millrace.attempts where event_id = %s order by 1", event_id)
