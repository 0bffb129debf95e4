"""The form that makes and changes schedules, with its preview; and the one that fills gaps."""

from __future__ import annotations

import datetime
import json
from typing import Any

import flask

from service.application import schedules as application
from service.domain import errors
from service.domain.access import Permission
from service.domain.backfill import Backfill
from service.web import access, body, gate, operations, road, sessions
from service.web.console import forms, page, rules, schedule, words

#: Kind of a plan → its other members; and those of a policy.
PLAN = {"cron": ("tz", "missing", "doubled"), "every": ("anchor",), "at": ("tz",)}
POLICY = ("misfire", "misfire_window", "overlap", "jitter", "starts_at", "ends_at", "max_runs", "expires_after")
KINDS = (("cron", "by cron expression"), ("every", "every so often"), ("at", "once"))
PREVIEWED = 8


@page.pages.get("/schedules/new")
@access.needs(Permission.SCHEDULE)
def new_schedule() -> flask.Response:
    """An empty form."""
    return _form({"kind": "cron", "when": "0 9 * * MON-FRI", "tz": words.zone_name(), "payload": "{}"})


@page.pages.post("/schedules/new")
@forms.acts
@access.needs(Permission.SCHEDULE)
def create_schedule() -> flask.Response:
    """Make it, or show it again with what is wrong."""
    if forms.text("preview"):
        return _form(_given(), preview=True)
    try:
        name = road.current().operations.schedules.create(_document(), by=operations.by())
    except errors.InvalidEvent as error:
        return _form(_given(), faults=error.faults)
    except errors.ScheduleExists as error:
        return _form(_given(), faults=[errors.Fault("/name", str(error))])
    return forms.done(f"{name} was made", f"/console/schedules/{name}")


@page.pages.get("/schedules/<name>/edit")
@access.needs(Permission.SCHEDULE)
def ask_edit_schedule(name: str) -> flask.Response:
    """The form with what stands there."""
    with gate.reads():
        row = road.current().operations.agenda.find(name)
    plan, policy = row["plan"], row["policy"] or {}
    kind = next(kind for kind, _ in KINDS if kind in plan)
    values = {member: str(plan[member]) for member in PLAN[kind] if member in plan}
    values |= {member: str(policy[member]) for member in POLICY if member in policy}
    payload = json.dumps(json.loads(row["payload"]), indent=2, ensure_ascii=False)
    values |= {"name": name, "type": row["type"], "kind": kind, "when": str(plan[kind]), "payload": payload}
    return _form(values | {"revision": str(row["revision"])}, name=name)


@page.pages.post("/schedules/<name>/edit")
@forms.acts
@access.needs(Permission.SCHEDULE)
def edit_schedule(name: str) -> flask.Response:
    """Change it, unless somebody else did meanwhile."""
    if forms.text("preview"):
        return _form(_given(), name=name, preview=True)
    document = _document(whole=True) | {"name": name}
    try:
        road.current().operations.schedules.edit(name, document, revision=forms.number("revision"), by=operations.by())
    except errors.InvalidEvent as error:
        return _form(_given(), name=name, faults=error.faults)
    return forms.done(f"{name} was changed", f"/console/schedules/{name}")


@page.pages.post("/schedules/preview")
@forms.acts
@access.needs(Permission.READ)
def preview_schedule() -> flask.Response:
    """The next instants of what stands in the form, for the form."""
    return page.fragment("schedule_preview.html", **_preview())


@page.pages.get("/schedules/<name>/backfill")
@access.needs(Permission.SCHEDULE)
def ask_backfill(name: str) -> flask.Response:
    """Which past instants, and what would come of them."""
    with gate.reads():
        row = road.current().operations.agenda.find(name)
    since, until = (flask.request.args.get(field, "") for field in ("since", "until"))
    found: Backfill | None = None
    faults: list[errors.Fault] = []
    if since and until:
        try:
            found = _backfill(name, _local(since, "since"), _local(until, "until"), dry_run=True)
        except errors.InvalidEvent as error:
            faults = error.faults
    else:
        now = words.now().astimezone(words.zone())
        since, until = (f"{at:%Y-%m-%dT%H:%M}" for at in (now - datetime.timedelta(days=1), now))
    return page.dialog("backfill.html", one=row, since=since, until=until, found=found, faults=faults)


@page.pages.post("/schedules/<name>/backfill")
@forms.acts
@access.needs(Permission.SCHEDULE)
def backfill(name: str) -> flask.Response:
    """Make events of them, if they are still as many as were counted."""
    since, until = (_local(forms.text(field) or "", field) for field in ("since", "until"))
    if forms.text("confirm") != str(_backfill(name, since, until, dry_run=True).backfilled):
        raise forms.NotConfirmed()
    found = _backfill(name, since, until, dry_run=False)
    return forms.done(f"{words.many(found.backfilled, 'instant')} became events", f"/console/schedules/{name}")


def _backfill(name: str, since: datetime.datetime, until: datetime.datetime, *, dry_run: bool) -> Backfill:
    found: Backfill = road.current().operations.schedules.backfill(
        name, since, until, limit=application.MOST_BACKFILLED, dry_run=dry_run, by=operations.by()
    )
    return found


def _local(text: str, field: str) -> datetime.datetime:
    """An instant as a field of a form gives it: by the viewer's clock."""
    try:
        return datetime.datetime.fromisoformat(text).replace(tzinfo=words.zone())
    except ValueError:
        raise errors.InvalidSchedule([errors.Fault(f"/{field}", "a day and a time are wanted")]) from None


def _form(
    values: dict[str, str], *, name: str | None = None, faults: Any = (), preview: bool = False
) -> flask.Response:
    types = [handler.type for handler in road.current().registry]
    return page.render(
        "schedule_form.html",
        422 if faults else 200,
        name=name,
        values=values,
        faults=list(faults),
        types=types,
        kinds=KINDS,
        options={policy: rules.options(policy) for policy in rules.CHOICES},
        **(_preview() if preview else _preview_of(values)),
    )


def _preview() -> dict[str, Any]:
    return _preview_of(_given())


def _preview_of(values: dict[str, str]) -> dict[str, Any]:
    """What the plan in the form will do; or what is wrong with it."""
    try:
        found = road.current().operations.schedules.preview_plan(_plan(values), count=PREVIEWED)
    except errors.InvalidSchedule as error:
        return {"coming": [], "fault": "; ".join(fault.detail for fault in error.faults), "text": ""}
    return {
        "coming": schedule.told(found["instants"], found["plan"].get("tz", "UTC")),
        "fault": "",
        "text": found["text"],
    }


def _given() -> dict[str, str]:
    """The fields as they were filled in."""
    return {name: value for name, value in flask.request.form.items() if name != sessions.FIELD}


def _plan(values: dict[str, str]) -> dict[str, Any]:
    kind = values.get("kind", "cron")
    given = {name: values[name].strip() for name in PLAN.get(kind, ()) if values.get(name, "").strip()}
    return {kind: values.get("when", "").strip()} | given


def _document(*, whole: bool = False) -> dict[str, Any]:
    """The document in the form; with ``whole`` its empty fields too, which take members away."""
    values = _given()
    try:
        payload = body.parse((values.get("payload") or "{}").encode(), road.current().settings.max_depth).value
    except body.NotStrictJson as error:
        faults = [errors.Fault(f"/payload{fault.pointer}", fault.detail) for fault in error.faults]
        raise errors.InvalidSchedule(faults) from None
    found: dict[str, Any] = {"name": values.get("name", "").strip() or None, "type": values.get("type") or None}
    found |= {"plan": _plan(values), "payload": payload}
    for member in POLICY:
        value = values.get(member, "").strip()
        if value or whole:
            found[member] = _policy(member, value) if value else None
    return {member: value for member, value in found.items() if value is not None or (whole and member in POLICY)}


def _policy(member: str, value: str) -> str | int:
    """A member of a policy as the document has it."""
    return value if member != "max_runs" or (number := forms.whole(value)) is None else number
