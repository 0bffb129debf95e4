"""The list of events: the address is the filter, and rows never move under the hand."""

from __future__ import annotations

import dataclasses
import datetime
import urllib.parse
from typing import Any

import flask

from service.domain import errors, states
from service.domain.access import Permission
from service.ledger import queries
from service.web import access, gate, operations, road, search
from service.web.console import forms, page, query

SHOWN = 50
OWN = ("q", "within")  #: parameters that the API does not have


@page.pages.get("/events")
@access.needs(Permission.READ)
def events() -> Any:
    """A page of events."""
    here, args = road.current(), query.given(*OWN)
    asked = flask.request.args.get("q", "").strip()
    if asked:
        return _look_for(asked)
    wanted = _wanted(args)
    filters = wanted.filters()
    with gate.reads():
        found = here.queries.page(filters, limit=SHOWN)
        count = here.operations.counting.found(filters)
        types = sorted({handler.type for handler in here.registry} | set(here.operations.figures.depth().types))
    return page.render(
        "events.html",
        rows=found.events,
        count=count,
        wanted=wanted,
        within=flask.request.args.get("within", ""),
        types=types,
        words=list(states.State),
        spans=[(name, words[0]) for name, words in query.WITHIN.items()],
        older=query.link(cursor=found.older) if found.older else None,
        newer=query.link(cursor=search.NEWER + found.newer) if wanted.cursor and found.newer else None,
        newest=query.link(cursor=None) if wanted.cursor else None,
        searched_until=found.searched_until,
        same=query.string(_kept(args)),
        cancel=_cancellable(wanted),
        link=query.link,
    )


@page.pages.get("/live/events")
@access.needs(Permission.READ)
def live_events() -> flask.Response:
    """How many events are newer than the first one on the page."""
    args = query.given(*OWN, "than")
    than = flask.request.args.get("than", "")
    if not queries.UUID.fullmatch(than):
        flask.abort(404)
    filters = _wanted(args).filters()
    with gate.reads():
        newer = road.current().operations.counting.newer(filters, than)
    return page.fragment("events_live.html", newer=newer, there=_there(args))


@page.pages.get("/events/cancel")
@access.needs(Permission.CONTROL)
def ask_cancel_events() -> flask.Response:
    """How many open events the filter finds, and the form to cancel them."""
    here = road.current().operations
    counted_at = forms.now()
    wanted, filters = _to_cancel(counted_at)
    with gate.reads():
        types = here.control.count(filters)
    return page.dialog(
        "cancel_events.html", wanted=wanted, types=types, count=sum(types.values()), same=_query(),
        counted_at=counted_at,
    )  # fmt: skip


@page.pages.post("/events/cancel")
@forms.acts
@access.needs(Permission.CONTROL)
def cancel_events() -> flask.Response:
    """Cancel them, if they are still as many as were counted."""
    here = road.current().operations
    control = here.control
    _, filters = _to_cancel(forms.counted_at())
    count = sum(control.count(filters).values())
    if flask.request.form.get("confirm", "").strip() != str(count):
        raise forms.NotConfirmed()
    found = control.cancel_all(filters, limit=min(count, 100_000), by=operations.by())
    here.figures.forget()
    said = f"{found.cancelled:,} events were cancelled"
    said += f", {found.stopping:,} were asked to stop" if found.stopping else ""
    said += f", {found.left:,} are being worked and were left alone" if found.left else ""
    return forms.done(said, f"/console/events?{_query()}", "warning" if found.left else "yes")


def _to_cancel(counted_at: datetime.datetime) -> tuple[operations.Cancel, queries.Filters]:
    """Which are meant: not what was accepted since they were counted, or nobody could stop what comes all the time."""
    wanted = search.read(query.given(), operations.Cancel)
    filters = wanted.filters()
    if not filters.values():
        raise errors.InvalidEvent([], "name a type, a state, a producer or a time first: not all open events are meant")
    return wanted, filters if filters.until else dataclasses.replace(filters, until=counted_at)


def _cancellable(wanted: search.Search) -> str | None:
    """The open events among those that are shown, as a query; None where a cancel cannot be asked for like that."""
    if wanted.text or wanted.state not in (None, *states.OPEN):
        return None
    given = {name: getattr(wanted, name) for name in ("type", "state", "producer", "since", "until")}
    shown = {n: v.isoformat() if n in ("since", "until") else str(v) for n, v in given.items() if v is not None}
    return urllib.parse.urlencode(shown) or None


def _look_for(asked: str) -> Any:
    """Where the search field leads: to an event by its id, or to the events of a type."""
    here = road.current()
    if queries.UUID.fullmatch(asked):
        return flask.redirect(f"/console/events/{asked.lower()}", 303)
    known = {handler.type for handler in here.registry} | set(here.operations.figures.depth().types)
    if asked in known:
        return flask.redirect(f"/console/events?type={asked}", 303)
    near = [name for name in sorted(known) if asked.lower() in name]
    return page.render("nothing_found.html", asked=asked, near=near, status=404)


def _wanted(args: Any) -> search.Search:
    since = query.within()
    if since is not None and "since" not in args:
        args = args.copy()
        args["since"] = since.isoformat()
    return search.read(args, search.Search)


def _kept(args: Any) -> Any:
    """The filters without the page."""
    kept = args.copy()
    kept.pop("cursor", None)
    if within := flask.request.args.get("within"):
        kept["within"] = within
    return kept


def _there(args: Any) -> str:
    return f"/console/events?{query.string(_kept(args))}"


def _query() -> str:
    return query.string(query.given("cursor"))
