"""What stands around every page: navigation with its counts, who is there, what was said."""

from __future__ import annotations

from typing import Any, NamedTuple

import flask

from service.domain import errors
from service.web import road


class Entry(NamedTuple):
    """A line of the navigation."""

    key: str  #: the letter that leads there after ``g``
    icon: str
    path: str
    name: str


ENTRIES = (
    Entry("o", "overview", "/console", "Overview"),
    Entry("e", "events", "/console/events", "Events"),
    Entry("d", "dead", "/console/dead", "Dead letters"),
    Entry("s", "schedules", "/console/schedules", "Schedules"),
    Entry("t", "types", "/console/types", "Types and queues"),
    Entry("w", "workers", "/console/workers", "Workers and clocks"),
)


def around() -> dict[str, Any]:
    """The values that every page has."""
    here = road.current()
    try:
        letters = here.operations.figures.letters()
        dead: int | None = letters.open
    except (errors.LedgerUnavailable, errors.SearchTooSlow):
        dead = None  # The console may fail; the page itself says what is wrong.
    return {
        "entries": ENTRIES,
        "current": _current(flask.request.path),
        "dead_open": dead,
        "demo": here.settings.demo_broker,
        "user": None,
        "request_root": flask.request.host_url.rstrip("/"),
    }


def _current(path: str) -> str:
    found = [entry.path for entry in ENTRIES if path == entry.path or path.startswith(f"{entry.path}/")]
    return max(found, key=len, default="/console")
