"""Who works, since when, and at what; the clocks; and the ground they stand on."""

from __future__ import annotations

from typing import Any

import flask

from service.domain.access import Permission
from service.domain.processes import Kind
from service.web import access, gate, processes, road
from service.web.console import page

DEPLOYED = 30 * 86_400.0  #: seconds back in which deploys are shown
SHOWN = 10  #: of them


@page.pages.get("/workers")
@access.needs(Permission.READ)
def workers() -> flask.Response:
    """The page."""
    with gate.reads():
        return page.render("workers.html", **_values())


@page.pages.get("/live/workers")
@access.needs(Permission.READ)
def live_workers() -> flask.Response:
    """Its parts, as they are by now."""
    with gate.reads():
        return page.fragment("workers_live.html", **_values())


def _values() -> dict[str, Any]:
    here = road.current()
    found = here.operations.processes.list()
    fired = here.operations.figures.fired()
    clocks = processes.with_fired([one for one in found if one["kind"] == Kind.CLOCK], fired)
    hands = [one | {"busy": len(one["holding"])} for one in found if one["kind"] == Kind.WORKER]
    return {
        "hands": sorted(hands, key=lambda one: (one["alive"], one["host"], one["pid"])),
        "clocks": clocks,
        "webs": [one for one in found if one["kind"] == Kind.WEB],
        "slots": sum(clock["slots"] for clock in fired.values()),
        "broker": here.publisher.up,
        "deploys": here.operations.processes.deploys(seconds=DEPLOYED, limit=SHOWN),
    }
