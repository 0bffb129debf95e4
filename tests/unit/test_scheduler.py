"""The clock's scheduler where it meets Celery."""

from __future__ import annotations

import sys
import threading
from types import FrameType
from typing import Any

from schedules.scheduler import Scheduler


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
    thread.join(5)
    assert not thread.is_alive(), "it waits for itself"
    assert scheduler._stopping
