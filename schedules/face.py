"""How a schedule is declared."""

from __future__ import annotations

import datetime
from typing import Any, TypedDict, Unpack

from service import plans, plugins
from service.domain import errors, policies
from service.domain.schedules import Schedule
from service.plans import reading
from service.plans.choices import Doubled, Missing
from service.plans.interval import EPOCH


class Policies(TypedDict, total=False):
    """What every schedule may be told besides; ``docs/schedules.md`` explains each.

    Lengths of time are seconds, or text like ``5m``; instants are aware datetimes, or text (RFC 3339).
    """

    misfire: str  #: ``skip``, ``last`` (the default) or ``all``: what becomes of instants that no clock fired in time
    misfire_window: float | str  #: by how much an instant may be late and still be fired
    overlap: str  #: ``allow`` (the default), ``skip``, ``queue_one`` or ``cancel_running``: while an event is open
    jitter: float | str  #: each instant is fired up to so much later, always by the same length
    starts_at: datetime.datetime | str  #: no instant before this one
    ends_at: datetime.datetime | str  #: no instant after this one
    max_runs: int  #: so many instants become events, then it has finished
    expires_after: float | str  #: an event that nobody has worked by then expires


def every(
    interval: float | str,
    type: str,
    payload: dict[str, Any] | None = None,
    *,
    anchor: datetime.datetime = EPOCH,
    name: str | None = None,
    **policy: Unpack[Policies],
) -> Schedule:
    """An event of ``type`` every so often: ``interval`` is seconds, or text like ``30s``, ``5m``, ``2h``, ``1d``.

    The instants lie on a fixed grid through ``anchor`` (by default 1970-01-01 UTC), whenever a clock was started; a day
    is 24 hours. ``payload``: a dict that is JSON. Raises DeclarationError for one that is not, for an interval under a
    second, for an anchor without a zone, or for a name used twice.
    """
    return _declare(name or type, type, plans.Interval.read(interval, anchor), payload, policy)


def cron(
    expression: str,
    type: str,
    payload: dict[str, Any] | None = None,
    *,
    tz: str = "UTC",
    missing: Missing | None = None,
    doubled: Doubled | None = None,
    name: str | None = None,
    **policy: Unpack[Policies],
) -> Schedule:
    """An event of ``type`` at the instants of a cron expression (minute, hour, day, month, day of the week).

    Six fields begin with the second. ``payload``: a dict that is JSON. ``tz``: the IANA time zone in which the
    expression is read. ``missing``: when clocks go forward, a local time that is left out runs at the first instant
    after the gap (``shift``) or not (``skip``). ``doubled``: when they go back, one that comes twice runs the ``first``
    time, the ``last`` time or ``both`` times. By default ``shift`` and ``first``, but ``skip`` and ``both`` where every
    hour is named. Raises DeclarationError for a bad payload, expression, zone or policy, or for a name used twice.
    """
    return _declare(name or type, type, plans.Cron(expression, tz, missing, doubled), payload, policy)


def at(
    moment: datetime.datetime | str,
    type: str,
    payload: dict[str, Any] | None = None,
    *,
    tz: str | None = None,
    name: str | None = None,
    **policy: Unpack[Policies],
) -> Schedule:
    """One event of ``type`` at ``moment``: a datetime, or text like ``2026-01-31T08:00:00+01:00``.

    Without an offset it is local time in ``tz``, an IANA time zone. ``payload``: a dict that is JSON. Raises
    DeclarationError for a bad payload, moment or zone, or for a name used twice.
    """
    return _declare(name or type, type, reading.at(moment, tz), payload, policy)


def _declare(name: str, type: str, plan: plans.Plan, payload: dict[str, Any] | None, policy: Policies) -> Schedule:
    try:
        found = policies.read(dict(policy))
    except errors.InvalidSchedule as error:
        faults = "; ".join(f"{fault.pointer[1:]}: {fault.detail}" for fault in error.faults)
        raise errors.DeclarationError(f"the schedule {name}: {faults}") from None
    schedule = Schedule(name, type, plan, {} if payload is None else payload, found, plugins.loading())
    plugins.calendar.add(schedule)
    return schedule
