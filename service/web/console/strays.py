"""Messages on our queues that were not ours: kept with bytes and headers, to be looked at and discarded."""

from __future__ import annotations

import base64

import flask

from service.domain.access import Permission
from service.web import access, gate, letters, operations, road, search, unknown, veil
from service.web.console import forms, json_text, page, query, words

SHOWN = 10_000  #: characters of a body


@page.pages.get("/strays")
@access.needs(Permission.READ)
def strays() -> flask.Response:
    """A page of them."""
    wanted = search.read(query.given(), letters.Strays)
    with gate.reads():
        found = road.current().operations.strays.list(limit=wanted.limit, cursor=wanted.cursor)
    older = query.link(cursor=found.next_cursor) if found.next_cursor else None
    return page.render("strays.html", rows=found.rows, older=older)


@page.pages.get("/strays/<stray_id>")
@access.needs(Permission.READ)
def stray(stray_id: str) -> flask.Response:
    """One, and the way to discard it. What its sender wrote is masked."""
    return _show(stray_id, reveal=False)


@page.pages.get("/strays/<stray_id>/reveal")
@access.needs(Permission.REVEAL)
def ask_reveal_stray(stray_id: str) -> flask.Response:
    """The form that asks why its body must be seen."""
    with gate.reads():
        found = road.current().operations.strays.show(stray_id)
    return page.dialog("reveal.html", subject=found["queue"], id=found["id"], place=f"/console/strays/{found['id']}")


@page.pages.post("/strays/<stray_id>/reveal")
@forms.acts
@access.needs(Permission.REVEAL)
def reveal_stray(stray_id: str) -> flask.Response:
    """It with its body, this once; that it was shown is in the audit log."""
    veil.asked({"reveal": forms.text("reason") or ""}, stray_id)
    return _show(stray_id, reveal=True)


@page.pages.get("/strays/<stray_id>/discard")
@access.needs(Permission.CONTROL)
def ask_discard_stray(stray_id: str) -> flask.Response:
    """The form to delete it."""
    with gate.reads():
        found = road.current().operations.strays.show(stray_id)
    return page.dialog("discard_stray.html", stray=found)


@page.pages.post("/strays/<stray_id>/discard")
@forms.acts
@access.needs(Permission.CONTROL)
def discard_stray(stray_id: str) -> flask.Response:
    """Delete it for good, if its last digits were typed."""
    forms.check_typed(words.tail(stray_id))
    here = road.current().operations
    here.control.discard(stray_id, by=operations.by())
    here.figures.forget()
    return forms.done("The message was discarded", "/console/strays")


def _show(stray_id: str, *, reveal: bool) -> flask.Response:
    with gate.reads():
        found = road.current().operations.strays.show(stray_id)
    data = base64.b64decode(found["body"])
    shown = found if reveal else unknown.masked(found)[0]
    return page.render(
        "stray.html",
        stray=found,
        text=data.decode("utf-8", "replace")[:SHOWN] if reveal else None,
        size=len(data),
        properties=json_text.shown(found["properties"]),
        headers=json_text.shown(shown["headers"]),
    )
