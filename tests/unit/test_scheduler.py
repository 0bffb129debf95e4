"""The clock's scheduler where it meets Celery."""

from __future__ import annotations

import math
import sys
import threading
import types
from types import FrameType
from typing import Any

from schedules.scheduler import TELL_PIECE, Scheduler
from service import signals
from tests.patience import PATIENCE


def test_a_signal_may_close_the_clock_in_the_middle_of_anything() -> None:
    """Celery's handler calls ``close`` wherever the main thread is, twice if it is told twice."""
    scheduler = Scheduler.__new__(Scheduler)
    scheduler._due = threading.Event()

    def interrupt(frame: FrameType, event: str, arg: Any) -> Any:
        sys.settrace(None)
        scheduler.close()
        sys.settrace(interrupt)
        return interrupt

    def main() -> None:
        sys.settrace(interrupt)
        scheduler._due.set()
        scheduler.close()
        sys.settrace(None)

    thread = threading.Thread(target=main, daemon=True)
    thread.start()
    thread.join(20 * PATIENCE)
    assert not thread.is_alive(), "it waits for itself"
    assert scheduler._stopping


def test_since_when_schedules_should_have_succeeded_is_told_of_all_of_them_at_once() -> None:
    """Who is left out is one that nobody expects anything of."""
    names = [f"s{number}" for number in range(2 * TELL_PIECE + 1)]
    made = {"failed": 2.0, "never": 1.0, "well": 1.0}
    succeeded = dict.fromkeys([*names, "failed", "well"], 1.0)
    upkeep = types.SimpleNamespace(
        last_success=lambda some: {name: succeeded[name] for name in some if name in succeeded},
        expected=lambda some: {name: made.get(name, 0.0) for name in some},
        made=lambda limit: list(made)[:limit],
    )
    scheduler = Scheduler.__new__(Scheduler)
    scheduler._told = -math.inf
    scheduler.road = types.SimpleNamespace(declarations=types.SimpleNamespace(names=names), upkeep=upkeep)  # type: ignore[assignment]
    told: list[tuple[int, int]] = []

    def note(_: Any, last: dict[str, float], expected: dict[str, float]) -> None:
        told.append((len(last), len(expected)))

    stale: list[int] = []

    def count(_: Any, stale: int, found: list[int] = stale) -> None:
        found.append(stale)

    with signals.schedules_succeeded.connected_to(note), signals.schedules_stale.connected_to(count):
        scheduler._tell_successes()
        scheduler._tell_successes()
    assert told == [(len(names), len(names))]
    assert stale == [2], "one has failed since, one has never succeeded"
