"""The page for newcomers, in the place of the overview: three commands that tick themselves off."""

from __future__ import annotations

from typing import Any

import flask

from service.domain import handlers
from service.domain.access import Permission
from service.ledger import agenda, queries
from service.web import access, gate, road
from service.web.console import frame, page

SILENT = 30.0  #: seconds


@page.pages.get("/first-run")
@access.needs(Permission.READ)
def first_run() -> flask.Response:
    """The page, also for who wants to see it later."""
    with gate.reads():
        return show()


@page.pages.get("/live/first-run")
@access.needs(Permission.READ)
def live_first_run() -> flask.Response:
    """Which of the steps have been done."""
    with gate.reads():
        return page.fragment("first_run_live.html", **_values())


def show() -> flask.Response:
    """The page."""
    return page.render("first_run.html", **_values())


def _values() -> dict[str, Any]:
    here = road.current()
    example = handlers.example(here.registry)
    newest = here.queries.search(queries.Filters(), limit=1)
    plans = here.operations.agenda.list(agenda.Filters(origin="api"), limit=1).rows
    clocks = [clock for clock in here.operations.figures.clocks() if clock["silent"] < SILENT]
    first = frame.curl(f"/v1/events/{example[0]}", example[1]) if example else frame.curl("/v1/types")
    type_name = example[0] if example else None
    return {
        "first": first,
        "third": f"millrace pause {type_name} && sleep 5 && millrace resume {type_name}" if example else None,
        "resumed": here.queries.resumed(),
        "second": f"millrace schedules create hello --every 10s --type {type_name}" if type_name else None,
        "type": type_name,
        "newest": newest[0] if newest else None,
        "plan": plans[0] if plans else None,
        "clocks": clocks,
        "root": frame.root(),
        "broker_up": here.publisher.up,
    }
