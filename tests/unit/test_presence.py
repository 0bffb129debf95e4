"""What a worker's children know of each other: who is at which ticket, and which of them notes the worker."""

from __future__ import annotations

import contextlib
import datetime
import os
import signal
from typing import Any

import billiard
import pytest

from service.domain import ticket as tickets
from tests.patience import PATIENCE
from workers import presence

NOW = datetime.datetime(2026, 1, 31, tzinfo=datetime.UTC)
DELIVERY = tickets.Delivery(
    "019a0000-0000-7000-8000-000000000000", "orders.created", "events", ("a", "b"), False, NOW
)  # fmt: skip


class Child:
    """A child of a worker, which does as it is told."""

    def __init__(self, here: presence.Presence, index: int) -> None:
        self._orders, child = billiard.Pipe()
        self.process = billiard.Process(target=_obey, args=(here, child))
        self.process.index = index
        self.process.start()

    def ask(self, word: str) -> Any:
        self._orders.send(word)
        assert self._orders.poll(20 * PATIENCE), "the child does not answer"
        return self._orders.recv()

    def kill(self) -> None:
        if self.process.is_alive():
            os.kill(self.process.pid, signal.SIGKILL)
            self.process.join()


def _obey(here: presence.Presence, orders: Any) -> None:
    here.begin_child()
    held = here.holds(DELIVERY)
    while True:
        word = orders.recv()
        if word == "hold":
            held.__enter__()
        orders.send({"ours": here.is_ours, "hold": os.getpid, "pid": lambda: here.process(["b", "a"]).pid}[word]())


@pytest.fixture
def here() -> presence.Presence:
    return presence.Presence()


def test_a_thread_that_is_at_a_ticket_is_seen_until_it_has_done_it(here: presence.Presence) -> None:
    here.queues, here.slots = ("events",), 2
    with here.holds(DELIVERY):
        [held] = here.note().holding
        assert (held.pid, held.type, held.ticket, held.events) == (os.getpid(), "orders.created", DELIVERY.ticket, 2)
        assert 0 <= held.seconds < 60
    assert here.note().holding == ()
    with pytest.raises(ZeroDivisionError), here.holds(DELIVERY):
        _ = 1 / 0
    assert here.note().holding == ()
    worker = here.process(["b", "a"])
    assert (worker.pid, worker.types, worker.queues, worker.slots) == (os.getpid(), ("a", "b"), ("events",), 2)
    assert here.is_ours()


def test_whether_the_broker_is_there_is_what_the_parent_was_told_last(here: presence.Presence) -> None:
    found = [here.note().broker]
    for peer, up in (("broker", True), ("ledger", False), ("broker", False)):
        here.broker(None, peer=peer, up=up)
        found.append(here.note().broker)
    assert found == [None, True, True, False]


def test_one_child_notes_the_worker_and_another_when_that_one_is_killed(here: presence.Presence) -> None:
    with contextlib.ExitStack() as ending:

        def child(index: int) -> Child:
            found = Child(here, index)
            ending.callback(found.kill)
            return found

        first, second = child(0), child(1)
        assert (first.ask("ours"), second.ask("ours")) == (True, False)
        assert (first.ask("pid"), second.ask("pid")) == (os.getpid(), os.getpid())
        pids = {first.ask("hold"), second.ask("hold")}
        assert {held.pid for held in here.note().holding} == pids
        first.kill()
        assert second.ask("ours")
        heir = child(0)  # It has the place of the one that was killed.
        assert heir.ask("ours") is False
        assert [held.pid for held in here.note().holding] == [second.process.pid]
