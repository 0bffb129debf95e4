"""The verb that prints what the API takes and answers."""

from __future__ import annotations

import dataclasses
from typing import cast

import click
import msgspec

from service import bootstrap, plugins
from service.domain import handlers
from service.settings import Settings
from service.terminal import told


@dataclasses.dataclass(frozen=True, slots=True)
class Unbuilt:
    """As much of a road as an application wants before the first request."""

    settings: Settings
    registry: handlers.Registry


@click.command()
@told
def openapi() -> None:
    """Print what the API takes and answers, as OpenAPI 3.1 (JSON).

    With the event types and the pages of the apps in MILLRACE_APPS; no
    server is needed. A running one shows the same at /openapi.json, and at
    /docs for people.

    \b
    millrace openapi > openapi.json
    """
    from service import web  # The door is slow to import, and the other verbs need none.
    from service.web.openapi import document
    from service.web.road import Road

    here = Unbuilt(bootstrap.prepare("web"), plugins.registry)
    app = web.create_app(cast(Road, here))
    click.echo(msgspec.json.format(msgspec.json.encode(document.build(app, here.registry))))
