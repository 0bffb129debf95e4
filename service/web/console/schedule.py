"""One schedule: what it will do, what became of its slots, and everything that can be done with it."""

from __future__ import annotations

import datetime
import json
from typing import Any

import flask
import markupsafe

from service import plans
from service.application import schedules as application
from service.domain import errors
from service.domain.access import Permission
from service.plans import picture, zones
from service.plans import preview as previews
from service.web import access, gate, operations, road, search, veil
from service.web import schedules as api
from service.web.console import forms, json_text, page, query, rules, schedules, words

NEXT = 10  #: instants that are shown
SLOTS = 20
AHEAD = datetime.timedelta(days=400)  #: a change of clocks is looked for so far
ON_A_DAY = 200  #: instants that are looked at around a change
MARKED = 3  #: of its day that are shown


@page.pages.get("/schedules/<name>")
@access.needs(Permission.READ)
def schedule(name: str) -> flask.Response:
    """The page."""
    here = road.current().operations
    wanted = search.read(query.given("year"), api.History)
    with gate.reads():
        row = here.agenda.find(name)
        history = here.agenda.history(name, limit=SLOTS, cursor=wanted.cursor, outcome=wanted.outcome)
    shown = application.shown(row)
    coming, fault = _coming(name, row)
    today = words.now()
    change, on_change = _at_change(row["plan"], coming[-1]["at"] if coming else today)
    given = forms.whole(flask.request.args.get("year", "")) or 0
    number = given if given in previews.YEARS else today.year
    return page.render(
        "schedule.html",
        one=shown,
        text=schedules.describe(row["plan"]),
        tz=row["plan"].get("tz", "UTC"),
        payload=json_text.shown(json.loads(veil.masked_text(row["payload"], row["type"])[0])),
        rules=rules.told(shown),
        coming=coming,
        fault=fault,
        change=change,
        on_change=on_change,
        year=_year(row, number),
        number=number,
        slots=history.rows,
        older=query.link(cursor=history.next_cursor) if history.next_cursor else None,
        newest=query.link(cursor=None) if wanted.cursor else None,
    )


@page.pages.get("/live/schedules/<name>")
@access.needs(Permission.READ)
def live_schedule(name: str) -> flask.Response:
    """Its next runs, as they are by now."""
    with gate.reads():
        row = road.current().operations.agenda.find(name)
    coming, fault = _coming(name, row)
    change, on_change = _at_change(row["plan"], coming[-1]["at"] if coming else words.now())
    tz = row["plan"].get("tz", "UTC")
    return page.fragment(
        "schedule_live.html",
        one=application.shown(row),
        coming=coming,
        fault=fault,
        tz=tz,
        change=change,
        on_change=on_change,
    )


@page.pages.get("/schedules/<name>/pause")
@access.needs(Permission.SCHEDULE)
def ask_pause_schedule(name: str) -> flask.Response:
    """The form that asks why."""
    with gate.reads():
        road.current().operations.agenda.find(name)  # There may be none.
    place = f"/console/schedules/{name}"
    about = "No instant of it becomes an event until it is resumed; then it goes on with the next one."
    return page.dialog("pause.html", kind="schedule", name=name, place=f"{place}/pause", about=about, back=place)


@page.pages.post("/schedules/<name>/pause")
@forms.acts
@access.needs(Permission.SCHEDULE)
def pause_schedule(name: str) -> flask.Response:
    """Have no instant of it fired."""
    road.current().operations.schedules.pause(name, by=operations.by())
    return forms.done(f"{name} is paused", forms.back(f"/console/schedules/{name}"))


@page.pages.post("/schedules/<name>/resume")
@forms.acts
@access.needs(Permission.SCHEDULE)
def resume_schedule(name: str) -> flask.Response:
    """Have it go on."""
    road.current().operations.schedules.resume(name, by=operations.by())
    return forms.done(f"{name} goes on with its next instant", forms.back(f"/console/schedules/{name}"))


@page.pages.post("/schedules/<name>/run")
@forms.acts
@access.needs(Permission.SCHEDULE)
def run_schedule(name: str) -> flask.Response:
    """An event of it at once."""
    event_id = road.current().operations.schedules.run_now(name, by=operations.by())
    return forms.done(f"{name} runs now: this is its event", f"/console/events/{event_id}")


@page.pages.get("/schedules/<name>/delete")
@access.needs(Permission.SCHEDULE)
def ask_delete_schedule(name: str) -> flask.Response:
    """The form to delete it."""
    with gate.reads():
        return page.dialog("delete_schedule.html", one=road.current().operations.agenda.find(name))


@page.pages.post("/schedules/<name>/delete")
@forms.acts
@access.needs(Permission.SCHEDULE)
def delete_schedule(name: str) -> flask.Response:
    """Delete it; its slots and events stay."""
    if forms.text("confirm") != name:
        raise forms.NotConfirmed(f"the name that was typed is not {name}: nothing was done")
    revision = forms.number("revision") or None
    road.current().operations.schedules.delete(name, revision=revision, by=operations.by())
    return forms.done(f"{name} was deleted; its slots and events stay", "/console/schedules")


def _coming(name: str, row: dict[str, Any]) -> tuple[list[dict[str, Any]], str]:
    """Its next instants; and why there are none, if its plan cannot be read here."""
    if row["state"] in ("finished", "retired"):
        return [], f"It is {row['state']}."
    try:
        found = road.current().operations.schedules.preview(name, count=NEXT)
    except errors.InvalidSchedule as error:
        return [], str(error)
    return told(found["instants"], row["plan"].get("tz", "UTC")), ""


def told(instants: list[dict[str, Any]], tz: str) -> list[dict[str, Any]]:
    """Instants of a preview, to be shown in the plan's zone."""
    found = []
    for one in instants:
        utc = datetime.datetime.fromisoformat(one["utc"])
        local = utc.astimezone(zones.get(tz))
        day = f"{local:%a} {local.day} {local:%b}"
        found.append(
            one
            | {
                "at": utc,
                "day": day if local.year == words.now().year else f"{day} {local.year}",
                "time": f"{local:%H:%M:%S}".removesuffix(":00") + f" {local.tzname()}",
                "in_utc": f"{utc:%a %H:%M:%S}".removesuffix(":00"),
            }
        )
    return found


def _at_change(spec: dict[str, Any], after: datetime.datetime) -> tuple[str, list[dict[str, Any]]]:
    """The next change of clocks that lies beyond what is shown, in words, and what a cron plan does on that day."""
    tz = spec.get("tz", "UTC")
    if "cron" not in spec:
        return "", []
    try:
        plan, begin = plans.read(spec), after.astimezone(datetime.UTC).replace(tzinfo=None)
        change = next(iter(zones.changes(zones.get(tz), begin, begin + AHEAD)), None)
        if change is None:
            return "", []
        found = previews.coming(plan, change.instant - datetime.timedelta(hours=26), ON_A_DAY)
    except errors.DeclarationError:
        return "", []
    that_day = [one.document() for one in found if one.local.date() == change.begin.date()]
    day = f"{change.begin:%A} {change.begin.day} {change.begin:%B %Y}"
    return f"{day}: {change.describe()}", told(that_day[:MARKED], tz)


def _year(row: dict[str, Any], number: int) -> markupsafe.Markup | None:
    try:
        # The drawing escapes what it is given.
        return markupsafe.Markup(picture.draw(application.year(row, number)))
    except (errors.DeclarationError, errors.InvalidSchedule):
        return None
