"""The audit log: who did what, when, and from where."""

from __future__ import annotations

import json

import flask

from service.domain.access import Permission
from service.web import access, gate, keys, road, search, veil
from service.web.console import page, query

SHOWN = 50


@page.pages.get("/audit/verify")
@access.needs(Permission.AUDIT)
def verify() -> flask.Response:
    """Whether the chain of the whole log holds, and what was changed if it does not."""
    with gate.reads():
        return page.render("audit_verdict.html", found=road.current().operations.audit.verify())


@page.pages.get("/audit")
@access.needs(Permission.AUDIT)
def audit() -> flask.Response:
    """A page of it, the newest first."""
    wanted = search.read(query.given(), keys.Audit)
    with gate.reads():
        found = road.current().operations.audit.list(wanted.filters(), limit=SHOWN + 1)
    rows = [row | {"text": json.dumps(veil.masked_detail(row["detail"]))} for row in found[:SHOWN]]
    return page.render(
        "audit.html",
        rows=rows,
        wanted=wanted,
        older=query.link(cursor=rows[-1]["n"]) if len(found) > SHOWN else None,
        newest=query.link(cursor=None) if wanted.cursor else None,
    )
