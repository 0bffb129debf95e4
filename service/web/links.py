"""Where things are, for those who follow links."""

from __future__ import annotations

from typing import Any

import flask


def place(event_id: str, environ: dict[str, Any] | None = None) -> str:
    """The path of an event's page, for a client of this WSGI environment; None: of the request that is served now."""
    environ = flask.request.environ if environ is None else environ
    return f"{environ.get('SCRIPT_NAME', '')}/v1/events/{event_id}"


def added(event: dict[str, Any]) -> dict[str, Any]:
    """An event's document with the places of itself and of its kin."""
    links = {"self": place(event["id"])}
    for name in ("replay_of", "replayed_as"):
        if event.get(name):
            links[name] = place(event[name])
    return event | {"links": links}
