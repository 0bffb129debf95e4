"""Instants that were planned by other rules of a time zone than those of today: which local time each was meant for.

A change of a zone may be told of late. Then instants have been fired by the old rules, and by the new ones the clock on
the wall showed another time by then than the plan names. Nobody knows the old rules any more, but the plan tells them:
one of the times that it names, a few hours at most from what the wall showed, is the one that was meant.

So it is, too, while processes with different rules work side by side, as when hosts are updated one after the other.
"""

from __future__ import annotations

import datetime

from service.domain import schedules
from service.plans import zones
from service.plans.at import At
from service.plans.cron import Cron

STEP = datetime.timedelta(minutes=15)  #: offsets of zones are multiples of it
REACH = 12  #: steps; no zone has changed its offset by more than three hours, but over the date line
BY_DISTANCE = sorted(range(-REACH, REACH + 1), key=abs)


def meant(plan: schedules.Plan, fired: datetime.datetime, planned: datetime.datetime) -> datetime.datetime:
    """The instant, by today's rules, of the local time for which an instant was ``fired``.

    ``planned``: what was to follow it by the rules of then. Whatever comes after the result, by today's rules, is not
    accounted for; ``fired`` itself is returned when the rules have not changed for it.
    """
    if not isinstance(plan, Cron):
        return fired
    if plan.next_after(fired - fired.resolution) == fired and plan.next_after(fired) == planned:
        return fired
    walls = _near(plan, fired)
    for wall in walls:  # What followed, followed by the clock on that wall.
        following = plan.named_from(wall + zones.SECOND)
        if following is not None and following - wall == planned - fired:
            return plan.instant_of(wall)
    return plan.instant_of(walls[0]) if walls else fired


def stands_for(plan: schedules.Plan, planned: datetime.datetime) -> datetime.datetime:
    """The instant, by this process's rules, of the local time for which an instant was ``planned`` by anybody's.

    It is not before ``planned``. That is returned itself where the plan has it, and where nothing that is named lies
    near: of several times the nearest counts.
    """
    if not isinstance(plan, (At, Cron)) or plan.tz == "UTC":
        return planned
    found = plan.next_after(planned - planned.resolution)
    if isinstance(plan, At) or found == planned:
        return found or planned
    walls = _near(plan, planned)
    return max(planned, plan.instant_of(walls[0])) if walls else planned


def _near(plan: Cron, instant: datetime.datetime) -> list[datetime.datetime]:
    """The local times that the plan names, a few hours at most from what the wall shows: the nearest first."""
    shown = instant.astimezone(zones.get(plan.tz)).replace(tzinfo=None, microsecond=0, fold=0)
    return [wall for wall in (shown + n * STEP for n in BY_DISTANCE) if plan.names(wall)]
