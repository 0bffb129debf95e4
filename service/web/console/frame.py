"""What stands around every page: navigation with its counts, who is there, what was said."""

from __future__ import annotations

import shlex
from typing import Any, NamedTuple

import flask

from service.domain import errors
from service.domain.access import Permission
from service.web import access, guard, road


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
GUARDED = (
    (Permission.ACCESS, Entry("k", "keys", "/console/keys", "Keys")),
    (Permission.ACCESS, Entry("u", "users", "/console/users", "Users")),
    (Permission.AUDIT, Entry("a", "audit", "/console/audit", "Audit")),
)
LIVE = "/console/live"  #: before the paths of what is alive


def around() -> dict[str, Any]:
    """The values that every page has."""
    here, request = road.current(), flask.request
    entries = [*ENTRIES, *(entry for permission, entry in GUARDED if access.may(permission))]
    someone = access.of(request.environ)
    try:
        letters = here.operations.figures.open_letters()
        dead, exact = letters.open, letters.exact
    except errors.MillraceError:
        dead, exact = 0, True  # The console may fail; the page itself says what is wrong.
    return {
        "entries": entries,
        "current": _current(request.path, entries),
        "dead_open": dead,
        "dead_exact": exact,
        "demo": here.settings.demo_broker,
        "user": None if someone is None else someone.name,
        "may": lambda name: access.may(Permission[name]),
        "curl": curl,
    }


def root() -> str:
    """Where this Millrace is, as people and programs call it."""
    return (road.current().settings.public_url or flask.request.host_url).rstrip("/")


def curl(path: str, payload: str | None = None) -> str:
    """A command that asks the API, or posts JSON; where access is on, with the key that the shell knows."""
    key = '-H "Authorization: Bearer $MILLRACE_API_KEY"' if guard.current().is_on else ""
    sent = "" if payload is None else f"--json {shlex.quote(payload)}"
    return " ".join(part for part in ("curl", key, sent, f"{root()}{path}") if part)


def _current(path: str, entries: list[Entry]) -> str:
    """The entry that a page belongs to, or what is alive on it."""
    if path.startswith(LIVE):
        path = f"/console{path.removeprefix(LIVE)}"
    found = [entry.path for entry in entries if path == entry.path or path.startswith(f"{entry.path}/")]
    return max(found, key=len, default="/console")
