"""How long tests wait, and how long what they watch may take.

A deadline only ends a test that fails anyway, so a busy machine may have longer ones: ``make test PATIENCE=3``.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PATIENCE = float(os.environ.get("PATIENCE") or 1)  #: what every number of seconds here is multiplied with


def wait(condition: Callable[[], object], seconds: float, what: str, *, step: float = 0.05) -> None:
    """Wait until the condition holds; a test whose deadline passes fails with ``what`` it waited for.

    It is looked at once more after the deadline: a machine that stood still until then has not given it its time.
    """
    end = time.monotonic() + seconds * PATIENCE
    over = False
    while not condition():
        if over:
            raise AssertionError(f"waited {seconds * PATIENCE:.0f} s in vain: {what}")
        time.sleep(step)
        over = time.monotonic() > end


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """What stands inside fails the test if it takes longer."""
    begin = time.monotonic()
    yield
    took = time.monotonic() - begin
    assert took < seconds * PATIENCE, f"took {took:.1f} s of {seconds * PATIENCE:.1f} s"
