"""How a schedule is declared."""

from __future__ import annotations

from typing import Any

from schedules.calendar import Cron, Interval
from service import plugins
from service.domain.schedules import Schedule


def every(
    interval: float | str, type: str, payload: dict[str, Any] | None = None, *, name: str | None = None
) -> Schedule:
    """An event of ``type`` every ``interval``: seconds, or text like ``30s``, ``5m``, ``2h``, ``1d``.

    The instants lie on a fixed grid (multiples of the interval since 1970-01-01 UTC), whenever a clock was started.
    ``payload``: a dict that is JSON. Raises DeclarationError for one that is not, for an interval under a second, or
    for a name used twice.
    """
    return _declare(name or type, type, Interval.read(interval), payload)


def cron(
    expression: str, type: str, payload: dict[str, Any] | None = None, *, tz: str = "UTC", name: str | None = None
) -> Schedule:
    """An event of ``type`` at the instants of a cron expression (minute, hour, day, month, day of the week).

    ``payload``: a dict that is JSON. ``tz``: the IANA time zone in which the expression is read. Raises
    DeclarationError for a bad payload, expression or zone, or for a name used twice.
    """
    return _declare(name or type, type, Cron(expression, tz), payload)


def _declare(name: str, type: str, plan: Interval | Cron, payload: dict[str, Any] | None) -> Schedule:
    schedule = Schedule(name, type, plan, {} if payload is None else payload)
    plugins.calendar.add(schedule)
    return schedule
