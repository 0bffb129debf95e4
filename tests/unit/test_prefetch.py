"""When a worker fetches more, from which queue, and when it stops: by the crowds that it is told of each second."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import kombu
import pytest

from workers import joining, prefetch

FIRST = 2 * prefetch.FIRST  #: messages of two children
QUICK, SLOW = 0.001, 0.1  #: seconds of work in a message
CROWD = joining.Crowd(most=FIRST, gone=FIRST, pace=QUICK)
UNSEEN = joining.Crowd(most=FIRST, gone=FIRST, pace=None)


class Channel:
    """What is asked of the broker, in order."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    def send_method(self, _method: Any, _argsig: str, values: tuple[Any, ...]) -> None:
        self.asked.append(values)

    def consume(self, queue: str, tag: str) -> None:
        self.asked.append(("consume", queue, tag))

    def consumers(self) -> list[tuple[Any, ...]]:
        """What began and ended, without limits."""
        return [values for values in self.asked if len(values) != 3 or values[0] == "consume"]


class Queue(kombu.Queue):
    """A queue that tells its channel who consumes it."""

    def __init__(self, name: str, told: Channel) -> None:
        super().__init__(name)
        self.told = told

    def consume(self, consumer_tag: str = "", *_: Any, **__: Any) -> None:
        self.told.consume(self.name, consumer_tag)


class Worker:
    """A worker of two children that takes from two queues, and a clock of its own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.channel = Channel()
        self.pool = SimpleNamespace(num_processes=2)
        self.now = 1000.0
        monkeypatch.setattr(prefetch, "time", SimpleNamespace(monotonic=lambda: self.now))
        queues = [Queue("events", self.channel), Queue("reports", self.channel)]
        self.prefetch = prefetch.Prefetch(
            SimpleNamespace(channel=self.channel, queues=queues, _receive_callback=print), self.pool
        )

    def look(self, crowds: Mapping[str, joining.Crowd], *, after: float = 1.0) -> list[tuple[Any, ...]]:
        """What began and ended so far, when it has looked once more."""
        self.now += after
        self.prefetch.adjust(crowds)
        return self.channel.consumers()


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Worker:
    return Worker(monkeypatch)


def test_more_is_fetched_from_the_queue_with_the_crowd(worker: Worker) -> None:
    larger = joining.Crowd(FIRST + 1, FIRST, QUICK)
    assert worker.look({"events": CROWD, "reports": larger}) == [("consume", "reports", "more.0")]
    # Those that begin after it have as many as the first.
    assert worker.channel.asked[0] == (0, 2 * (prefetch.MOST - prefetch.FIRST), False)
    assert worker.channel.asked[-1] == (0, FIRST, False)
    assert worker.look({"events": larger, "reports": CROWD}) == [("consume", "reports", "more.0")]


@pytest.mark.parametrize(
    "crowd",
    [UNSEEN, joining.Crowd(FIRST, FIRST - 1, QUICK), joining.Crowd(FIRST // 2 - 1, FIRST, QUICK),
     joining.Crowd(FIRST, FIRST, SLOW)],
    ids=["unseen", "they hang", "few", "slow"],
)  # fmt: skip
def test_no_more_is_fetched(worker: Worker, crowd: joining.Crowd) -> None:
    assert worker.look({"events": crowd}) == []


def test_what_was_not_seen_before_ends_nothing(worker: Worker) -> None:
    worker.look({"events": CROWD})
    assert len(worker.look({"events": UNSEEN}, after=2 * prefetch.REST)) == 1


def test_what_is_slow_ends_it_for_a_while(worker: Worker) -> None:
    worker.look({"events": CROWD})
    slow = joining.Crowd(1, 1, SLOW)
    assert worker.look({"events": CROWD, "reports": slow})[1:] == []
    assert worker.look({"events": slow})[1:] == [("more.0", False)]
    assert worker.look({"events": CROWD}, after=prefetch.REST - 1)[2:] == []
    assert worker.look({"events": CROWD}, after=1)[2:] == [("consume", "events", "more.1")]


def test_it_ends_some_time_after_the_crowd_has_gone(worker: Worker) -> None:
    worker.look({"events": CROWD})
    assert worker.look({}, after=prefetch.REST - 1)[1:] == []
    assert worker.look({}, after=1)[1:] == [("more.0", False)]


def test_the_children_of_the_moment_count(worker: Worker) -> None:
    worker.pool.num_processes = 4
    assert worker.look({"events": CROWD}) == []
    assert worker.look({"events": joining.Crowd(2 * FIRST, 2 * FIRST, QUICK)}) == [("consume", "events", "more.0")]
    assert worker.channel.asked[0] == (0, 4 * (prefetch.MOST - prefetch.FIRST), False)


def test_an_end_is_asked_for_once(worker: Worker) -> None:
    worker.look({"events": CROWD})
    for _ in range(2):
        worker.prefetch.end()
    assert worker.channel.consumers()[1:] == [("more.0", False)]
