"""Handlers that harm their process, their time or their session: nobody but their own event suffers (P2, P4)."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable

import pytest

from service.application import execute
from tests.patience import PATIENCE, wait
from tests.road import Process, Road
from workers import limits

LOST = ("kill", "hang", "mask", "seize")  #: the process ends, or is ended by the hard limit
FAILED = {"sleep": "TimeLimit", "commit_and_fail": "RuntimeError", "leave": "SystemExit", "cancel": "CancelledError"}
HARMLESS = ("commit", "rollback", "close")

Bundles = dict[str, tuple[str, ...]]  #: what its bad event does → the ids of a bundle


class TestHandlers:
    """A bundle for each. All are published at once, so that their waits overlap."""

    @pytest.fixture(scope="class")
    @classmethod
    def road(cls, make_standing: Callable[..., Road]) -> Road:
        road = make_standing(soft_limit=str(1 + PATIENCE), hard_limit=str(2 + PATIENCE))
        road.clock()
        return road

    @pytest.fixture(scope="class")
    @classmethod
    def worker(cls, road: Road) -> Process:
        return road.worker(concurrency=4)

    @pytest.fixture(scope="class")
    @classmethod
    def bundles(cls, road: Road, worker: Process) -> Bundles:
        found = {}
        for do in (*LOST, *FAILED, *HARMLESS):
            bad, other = json.dumps({"do": do, "seconds": 60}), '{"do": "apart"}'
            (ticket,) = road.store("ledger.step", [bad] * 6 if do in HARMLESS else [bad, *[other] * 5])
            road.publish(ticket)
            found[do] = ticket.event_ids
        return found

    @pytest.mark.fault(27)
    @pytest.mark.fault(29)
    @pytest.mark.parametrize("do", LOST)
    def test_one_that_loses_its_worker_is_dead_and_no_attempt(self, road: Road, bundles: Bundles, do: str) -> None:
        bad = assert_only_the_bad_one_is_dead(road, bundles[do], "worker_lost")
        event = "select attempt, crashes, error->>'error' from millrace.events where id = %s"
        assert road.sql(event, bad) == [(0, execute.CRASHES + 1, "WorkerLost")]

    @pytest.mark.fault(29)
    @pytest.mark.parametrize(("do", "error"), FAILED.items())
    def test_what_a_handler_raises_is_an_attempt_each_time(
        self, road: Road, bundles: Bundles, do: str, error: str
    ) -> None:
        bad = assert_only_the_bad_one_is_dead(road, bundles[do], "attempts")
        attempts = "select attempt, error from millrace.attempts where event_id = %s order by 1"
        assert road.sql(attempts, bad) == [(1, error), (2, error), (3, error)]

    @pytest.mark.parametrize("do", HARMLESS)
    def test_handlers_that_end_their_session_undo_nothing_of_each_other(
        self, road: Road, bundles: Bundles, do: str
    ) -> None:
        road.wait_until_closed(bundles[do])
        assert road.states(bundles[do]) == {"succeeded": 6}
        assert road.effects(bundles[do]) == dict.fromkeys(bundles[do], 1)

    @pytest.mark.fault(29)
    def test_the_worker_lives_and_the_books_agree(self, road: Road, worker: Process, bundles: Bundles) -> None:
        road.wait_until_closed((i for ids in bundles.values() for i in ids), 60)
        road.assert_books()
        assert worker.code is None


@pytest.mark.fault(7)
def test_a_time_limit_that_was_not_reached_is_not_believed(make_road: Callable[..., Road]) -> None:
    """After an outage of the broker a worker's parent counts the time of tickets that were done long ago."""
    road = make_road(soft_limit="40", hard_limit="50")
    worker = road.worker(concurrency=1)
    [first] = road.store("ledger.step", ['{"do": "apart"}'])
    road.publish(first)
    road.wait_until_closed(first.event_ids)
    [child] = worker.children()

    os.kill(child, limits.SIG_SOFT_TIMEOUT)  # It is idle.
    [second] = road.store("ledger.step", ['{"do": "sleep", "seconds": 0.5}'])
    road.publish(second)
    wait(lambda: strike(child) or road.states(second.event_ids) == {"succeeded": 1}, 20, "it is worked")

    assert worker.children() == [child]
    assert road.sql("select count(*) from millrace.attempts") == [(0,)]


def strike(child: int) -> None:
    """The signal of a time limit; a child that it has ended fails the test later."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, limits.SIG_SOFT_TIMEOUT)


def assert_only_the_bad_one_is_dead(road: Road, ids: tuple[str, ...], reason: str) -> str:
    """The others of the bundle succeed, once; the bad one is dead for this reason, without an effect. Its id."""
    bad, *others = ids
    road.wait_until_closed(ids, 60)
    assert road.states(others) == {"succeeded": 5}
    assert road.effects(ids) == dict.fromkeys(others, 1)
    assert road.sql("select reason from millrace.dead where event_id = %s", bad) == [(reason,)]
    return bad
