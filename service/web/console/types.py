"""Types and queues: what comes in and goes out of each, how far it is behind, and the switch to hold it back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flask

from service.application import overview
from service.domain import topology
from service.domain.access import Permission
from service.web import access, gate, operations, road
from service.web.console import forms, page

#: What the address says → the figure.
SORTS = {"name": "name", "in": "accepted", "done": "done", "open": "open", "dead": "dead"}

#: What a pause does, of either kind.
ABOUT = {
    "types": "Its events are accepted and wait in the ledger. What is with the broker already is still worked.",
    "queues": "What belongs into it is accepted and waits in the ledger. What is in it already is still worked.",
}


@page.pages.get("/types")
@access.needs(Permission.READ)
def types() -> flask.Response:
    """The page."""
    with gate.reads():
        return page.render("types.html", **_values())


@page.pages.get("/live/types")
@access.needs(Permission.READ)
def live_types() -> flask.Response:
    """Its figures, as they are by now."""
    with gate.reads():
        return page.fragment("types_live.html", **_values())


@page.pages.get("/<kind>/<name>/pause")
@access.needs(Permission.CONTROL)
def ask_pause(kind: str, name: str) -> flask.Response:
    """The form that asks why; of a type or a queue."""
    about = ABOUT.get(kind) or flask.abort(404)
    place, back = f"/console/{kind}/{name}/pause", forms.asked_back("/console/types")
    return page.dialog("pause.html", kind=kind[:-1], name=name, place=place, about=about, back=back)


@page.pages.post("/<kind>/<name>/pause")
@forms.acts
@access.needs(Permission.CONTROL)
def pause(kind: str, name: str) -> flask.Response:
    """Hold back the events of a type, or what belongs into a queue."""
    _act(kind, "pause")(name, by=operations.by())
    return _said(f"The {kind[:-1]} {name} is paused: what belongs to it waits, accepting goes on")


@page.pages.post("/<kind>/<name>/resume")
@forms.acts
@access.needs(Permission.CONTROL)
def resume(kind: str, name: str) -> flask.Response:
    """Let it go again."""
    _act(kind, "resume")(name, by=operations.by())
    return _said(f"The {kind[:-1]} {name} goes on")


def _act(kind: str, what: str) -> Callable[..., Any]:
    if kind not in ABOUT:
        flask.abort(404)
    found: Callable[..., Any] = getattr(road.current().operations.control, f"{what}_{kind[:-1]}")
    return found


def _said(text: str) -> flask.Response:
    road.current().operations.figures.forget()
    return forms.done(text, forms.back("/console/types"))


def _values() -> dict[str, Any]:
    here = road.current()
    look = here.operations.figures
    flow, depth, letters = look.flow(), look.depth(), look.letters()
    named = {queue.name for queue in topology.queues(here.registry.queues())} - {topology.DEAD_QUEUE}
    rows = overview.by_type(flow, depth, letters, here.registry, here.settings.window)
    sort = flask.request.args.get("sort", "in")
    sort = sort if sort in SORTS else "in"
    if sort != "name":  # That is how they come.
        rows.sort(key=lambda row: -getattr(row, SORTS[sort]))
    return {
        "rows": rows,
        "handlers": {handler.type: handler for handler in here.registry},
        "series": {row.name: flow.series("done", type=row.name)[:-1] for row in rows},
        "sort": sort,
        "window": here.settings.window,
        "queues": here.operations.lanes.queues(frozenset(named)),
    }
