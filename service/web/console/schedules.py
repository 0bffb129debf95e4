"""All schedules, and the coming day."""

from __future__ import annotations

import datetime
import itertools
from typing import Any

import flask

from service import plans
from service.application import schedules as application
from service.domain import errors
from service.domain.access import Permission
from service.ledger import agenda
from service.web import access, gate, road, search
from service.web import schedules as api
from service.web.console import page, query, words

SHOWN = 50
DRAWN = 12  #: schedules in the picture of the day
COUNTED = 400  #: instants of an hour that are counted
HOURS = 24


@page.pages.get("/schedules")
@access.needs(Permission.READ)
def schedules() -> flask.Response:
    """A page of schedules, by name."""
    here = road.current().operations
    wanted = search.read(query.given(), api.List)
    filters = agenda.Filters(wanted.type, wanted.origin, wanted.state, wanted.cursor)
    with gate.reads():
        found = here.agenda.list(filters, limit=SHOWN)
        now = here.agenda.now()
    rows = [application.shown(row) | {"plan_text": describe(row["plan"])} for row in found.rows]
    return page.render(
        "schedules.html",
        rows=rows,
        wanted=wanted,
        states=api.STATES,
        older=query.link(cursor=found.next_cursor) if found.next_cursor else None,
        day=day(rows, now),
        hours=[f"{(now + datetime.timedelta(hours=n)).astimezone(words.zone()):%H}" for n in range(HOURS)],
        types=[handler.type for handler in road.current().registry],
    )


def describe(spec: Any) -> str:
    """A plan in words; of a newer version of the code, as it stands there."""
    try:
        return plans.read(spec).describe()
    except errors.DeclarationError:
        return str(spec)


def day(rows: list[dict[str, Any]], now: datetime.datetime) -> list[tuple[str, list[tuple[int, bool]]]]:
    """The coming hours of those schedules that run first: (name, for each hour how many instants, and whether more)."""
    active = sorted((row for row in rows if row["state"] == "active"), key=lambda row: row["next_due"])
    begin = now.replace(minute=0, second=0, microsecond=0)
    edges = [max(now, begin + datetime.timedelta(hours=n)) for n in range(HOURS)] + [
        begin + datetime.timedelta(hours=HOURS)
    ]
    found = []
    for row in active[:DRAWN]:
        try:
            plan = plans.read(row["plan"])
        except errors.DeclarationError:
            continue
        counts = []
        for first, last in itertools.pairwise(edges):
            number = sum(1 for _ in itertools.islice(plan.between(first, last), COUNTED))
            counts.append((number, number == COUNTED))
        found.append((row["name"], counts))
    return found
