"""A clock's looks: what takes long is made more rarely, and what was not done is not said to be done."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from schedules import duty, looking
from service import signals
from service.telemetry import catalogue


class Told:
    """What listeners hear of duties, and a time that only goes on when somebody wants it to."""

    def __init__(self) -> None:
        self.ended: list[bool] = []
        self.now = 1000.0

    def on_ended(self, _: Any, duty: str, done: bool) -> None:
        self.ended.append(done)

    def look(self, seconds: float, error: Exception | None = None) -> Callable[[], None]:
        """A look that takes so long, and may fail then."""

        def once() -> None:
            self.now += seconds
            if error is not None:
                raise error

        return once


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[Told]:
    found = Told()
    monkeypatch.setattr(time, "monotonic", lambda: found.now)
    with signals.duty_ended.connected_to(found.on_ended):
        yield found


def test_a_look_that_always_fails_is_never_done(told: Told) -> None:
    look = duty.Duty("watch_test", looking.Unhurried(told.look(30.0, ValueError())), longest=10.0)
    for _ in range(6):
        look.run()
        told.now += look.rest() + looking.EVERY
    assert told.ended == [False] * 6


def test_a_look_that_is_left_out_is_neither_done_nor_failed(told: Told) -> None:
    look = duty.Duty("watch_test", looking.Unhurried(told.look(1.0)), longest=10.0)
    look.run()
    for _ in range(3):
        told.now += looking.EVERY
        look.run()
    assert told.ended == [True]


def test_however_long_a_look_takes_it_is_made_before_what_it_saw_is_hidden(told: Told) -> None:
    look = duty.Duty("watch_test", looking.Unhurried(told.look(duty.SILENT)), longest=10.0)
    look.run()
    told.now += looking.LONGEST
    look.run()
    assert told.ended == [True, True]
    assert looking.LONGEST + looking.EVERY + 2 * duty.SILENT < catalogue.SHOWN
