"""How a schedule is declared."""

from __future__ import annotations

import datetime
from typing import Any

from service import plans, plugins
from service.domain.schedules import Schedule
from service.plans import reading
from service.plans.choices import Doubled, Missing
from service.plans.interval import EPOCH


def every(
    interval: float | str,
    type: str,
    payload: dict[str, Any] | None = None,
    *,
    anchor: datetime.datetime = EPOCH,
    name: str | None = None,
) -> Schedule:
    """An event of ``type`` every so often: ``interval`` is seconds, or text like ``30s``, ``5m``, ``2h``, ``1d``.

    The instants lie on a fixed grid through ``anchor`` (by default 1970-01-01 UTC), whenever a clock was started; a day
    is 24 hours. ``payload``: a dict that is JSON. Raises DeclarationError for one that is not, for an interval under a
    second, for an anchor without a zone, or for a name used twice.
    """
    return _declare(name or type, type, plans.Interval.read(interval, anchor), payload)


def cron(
    expression: str,
    type: str,
    payload: dict[str, Any] | None = None,
    *,
    tz: str = "UTC",
    missing: Missing | None = None,
    doubled: Doubled | None = None,
    name: str | None = None,
) -> Schedule:
    """An event of ``type`` at the instants of a cron expression (minute, hour, day, month, day of the week).

    Six fields begin with the second. ``payload``: a dict that is JSON. ``tz``: the IANA time zone in which the
    expression is read. ``missing``: when clocks go forward, a local time that is left out runs at the first instant
    after the gap (``shift``) or not (``skip``). ``doubled``: when they go back, one that comes twice runs the ``first``
    time, the ``last`` time or ``both`` times. By default ``shift`` and ``first``, but ``skip`` and ``both`` where every
    hour is named. Raises DeclarationError for a bad payload, expression, zone or policy, or for a name used twice.
    """
    return _declare(name or type, type, plans.Cron(expression, tz, missing, doubled), payload)


def at(
    moment: datetime.datetime | str,
    type: str,
    payload: dict[str, Any] | None = None,
    *,
    tz: str | None = None,
    name: str | None = None,
) -> Schedule:
    """One event of ``type`` at ``moment``: a datetime, or text like ``2026-01-31T08:00:00+01:00``.

    Without an offset it is local time in ``tz``, an IANA time zone. ``payload``: a dict that is JSON. Raises
    DeclarationError for a bad payload, moment or zone, or for a name used twice.
    """
    return _declare(name or type, type, reading.at(moment, tz), payload)


def _declare(name: str, type: str, plan: plans.Plan, payload: dict[str, Any] | None) -> Schedule:
    schedule = Schedule(name, type, plan, {} if payload is None else payload)
    plugins.calendar.add(schedule)
    return schedule
