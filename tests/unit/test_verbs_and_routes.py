"""The command line can do what the API can: each operation has its verb, each parameter its option, or a reason."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click
import pytest

from service import cli
from service.domain import handlers
from service.web.openapi import document
from tests import memory

METHODS = ("get", "post", "put", "patch", "delete")

#: Operation → the verbs that do it.
VERBS: dict[str, tuple[str, ...]] = {
    "GET /healthz": ("doctor",),
    "GET /readyz": ("doctor",),
    "GET /openapi.json": ("openapi",),
    "GET /v1/audit": ("audit list",),
    "GET /v1/audit/verify": ("audit verify",),
    "POST /v1/cancel": ("cancel", "events cancel"),
    "GET /v1/clocks": ("clocks",),
    "GET /v1/dead": ("dead",),
    "GET /v1/dead/groups": ("dead groups",),
    "GET /v1/deploys": ("deploys",),
    "POST /v1/discard": ("dead discard",),
    "GET /v1/events": ("events list",),
    "POST /v1/events": ("send",),
    "GET /v1/events/{event_id}": ("events show", "events wait"),
    "POST /v1/events/{event_id}": ("send",),
    "POST /v1/events/{event_id}/cancel": ("cancel",),
    "POST /v1/events/{event_id}/discard": ("dead discard",),
    "GET /v1/events/{event_id}/explain": ("events explain",),
    "POST /v1/events/{event_id}/replay": ("replay", "dead replay", "events replay"),
    "GET /v1/keys": ("keys list",),
    "POST /v1/keys": ("keys create",),
    "DELETE /v1/keys/{key_id}": ("keys revoke",),
    "POST /v1/keys/{key_id}/rotate": ("keys rotate",),
    "GET /v1/overview": ("status",),
    "GET /v1/pauses": ("pauses",),
    "GET /v1/processes": ("processes",),
    "GET /v1/queues": ("queues",),
    "POST /v1/queues/{name}/pause": ("pause",),
    "POST /v1/queues/{name}/resume": ("resume",),
    "POST /v1/replay": ("replay",),
    "POST /v1/schedules": ("schedules create",),
    "GET /v1/schedules": ("schedules",),
    "GET /v1/schedules/{name}": ("schedules show",),
    "PATCH /v1/schedules/{name}": ("schedules edit",),
    "DELETE /v1/schedules/{name}": ("schedules delete",),
    "POST /v1/schedules/{name}/backfill": ("schedules backfill",),
    "POST /v1/schedules/{name}/pause": ("schedules pause",),
    "GET /v1/schedules/{name}/preview": ("schedules preview",),
    "POST /v1/schedules/{name}/resume": ("schedules resume",),
    "POST /v1/schedules/{name}/run": ("schedules run",),
    "GET /v1/schedules/{name}/slots": ("schedules slots",),
    "GET /v1/schedules/{name}/year": ("schedules year",),
    "POST /v1/schedules/preview": ("schedules preview",),
    "GET /v1/strays": ("strays",),
    "GET /v1/strays/{stray_id}": ("strays show",),
    "DELETE /v1/strays/{stray_id}": ("strays discard",),
    "GET /v1/types": ("types",),
    "POST /v1/types/{name}/pause": ("pause",),
    "POST /v1/types/{name}/resume": ("resume",),
    "GET /v1/users": ("users list",),
    "POST /v1/users": ("users add",),
    "DELETE /v1/users/{name}": ("users remove",),
    "GET /v1/users/sessions": ("users sessions",),
    "DELETE /v1/users/{name}/sessions": ("users sign-out",),
    "POST /v1/users/{name}/disable": ("users disable",),
    "POST /v1/users/{name}/enable": ("users enable",),
    "PUT /v1/users/{name}/password": ("users password",),
    "PUT /v1/users/{name}/role": ("users role",),
    "GET /v1/workers": ("workers",),
}

#: Operations that have no verb, and why.
NONE = {
    "GET /docs": "a page for people with a browser",
    "GET /docs/style.css": "a part of that page",
}

#: (operation, parameter) that is no option, and why.
NO_OPTION = {
    ("POST /v1/events", "run_at"): "for CloudEvents, which have no member for it; a line of --lines has",
    ("POST /v1/events", "delay"): "likewise",
    ("POST /v1/events", "expires_at"): "likewise",
    ("POST /v1/events", "atomic"): "--lines sends a file of any length, part by part, which is no one commit",
    ("POST /v1/replay", "starts_at"): "the verb takes the turns itself",
}

#: Names of parameters that an option or argument has another name for.
NAMED = {"all": "everything", "next": "count", "year": "number"}


def operations() -> Iterator[tuple[str, set[str]]]:
    """Every operation of the API's document, with the names of its query's parameters."""
    road = memory.Road(handlers.Handler("orders.created", print))
    found = document.build(road.client().application, road.registry)
    for path, item in found["paths"].items():
        if path == "/v1/events/orders.created":
            continue  # The type's own page of POST /v1/events/{event_id}.
        for method in METHODS:
            if method in item:
                parameters = [_resolved(found, p) for p in item[method].get("parameters", ())]
                yield f"{method.upper()} {path}", {p["name"] for p in parameters if p["in"] == "query"}


def _resolved(document: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    found = document
    for name in part.get("$ref", "#").split("/")[1:]:
        found = found[name]
    return found if "$ref" in part else part


def command(words: str) -> click.Command:
    """The command with these words."""
    found: click.Command = cli.main
    for word in words.split():
        assert isinstance(found, click.Group), words
        found = found.commands[word]
    return found


OPERATIONS = dict(operations())


def test_every_operation_has_a_verb_or_it_is_said_why_not() -> None:
    assert sorted(OPERATIONS) == sorted([*VERBS, *NONE])


@pytest.mark.parametrize("operation", VERBS)
def test_every_parameter_has_an_option(operation: str) -> None:
    for words in VERBS[operation]:
        verb = command(words)
        has = {parameter.name for parameter in verb.params}
        wants = {NAMED.get(name, name) for name in OPERATIONS[operation] if (operation, name) not in NO_OPTION}
        assert wants <= has, f"millrace {words} has no {wants - has}"


def test_nothing_is_excused_that_is_not_there() -> None:
    assert [(o, p) for o, p in NO_OPTION if p not in OPERATIONS[o]] == []
