"""Handlers of ticks. Nobody works them while the clock is measured."""

from __future__ import annotations

from workers import handler


@handler("ticks.bundled", bundle=50)
def bundled(payload: object) -> None:
    """Fifty of these ride on one ticket."""


@handler("ticks.alone", bundle=1)
def alone(payload: object) -> None:
    """Each of these has a ticket of its own."""
