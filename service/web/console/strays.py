"""Messages on our queues that were not ours: kept with bytes and headers, to be looked at and discarded."""

from __future__ import annotations

import base64

import flask

from service.domain.access import Permission
from service.web import access, gate, letters, operations, road, search
from service.web.console import forms, json_text, page, query

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
@access.needs(Permission.REVEAL)
def stray(stray_id: str) -> flask.Response:
    """One with its bytes, and the form to discard it."""
    found = road.current().operations.strays.show(stray_id)
    data = base64.b64decode(found["body"])
    return page.render(
        "stray.html",
        stray=found,
        text=data.decode("utf-8", "replace")[:SHOWN],
        size=len(data),
        properties=json_text.shown(found["properties"]),
        headers=json_text.shown(found["headers"]),
    )


@page.pages.post("/strays/<stray_id>/discard")
@forms.acts
@access.needs(Permission.CONTROL)
def discard_stray(stray_id: str) -> flask.Response:
    """Delete it."""
    here = road.current().operations
    here.control.discard(stray_id, by=operations.by())
    here.figures.forget()
    return forms.done("The message was discarded", "/console/strays")
