"""The HTTP door: it takes a request apart, calls one use case, and answers."""

from __future__ import annotations

from types import ModuleType

import flask

from service import plugins
from service.web import (
    api,
    console,
    envelopes,
    errors,
    explain,
    gate,
    guard,
    health,
    hooks,
    keys,
    letters,
    operations,
    overview,
    paths,
    processes,
    schedules,
    signin,
    users,
)
from service.web.openapi import views as described
from service.web.road import NAME, Road


def create_app(road: Road) -> flask.Flask:
    """The Flask application on a road that ``bootstrap.web`` has laid."""
    app = flask.Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = road.settings.max_body
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False  # Flask's answer has no body, and says that it is HTML.
    paths.install(app)
    app.url_map.merge_slashes = False  # The redirect that mends them is a page of HTML.
    app.extensions[NAME] = road
    app.extensions[gate.NAME] = gate.Gates(road.settings.web_threads)
    app.extensions[guard.NAME] = guard.make(road)
    hooks.install(app)
    errors.install(app)
    app.register_blueprint(api.pages)
    app.register_blueprint(envelopes.pages)
    app.register_blueprint(explain.pages)
    app.register_blueprint(overview.pages)
    app.register_blueprint(processes.pages)
    app.register_blueprint(operations.pages)
    app.register_blueprint(letters.pages)
    app.register_blueprint(schedules.pages)
    app.register_blueprint(keys.pages)
    app.register_blueprint(users.pages)
    app.register_blueprint(signin.pages)
    app.register_blueprint(health.pages)
    app.register_blueprint(described.pages)
    app.register_blueprint(console.pages)
    for name in plugins.apps(road.settings.apps):
        views = plugins.optional(name, "views")
        if views is not None:
            mount(app, views)
    return app


def mount(app: flask.Flask, views: ModuleType) -> None:
    """Mount what an app's ``views.blueprints`` lists: blueprints, or pairs of blueprint and URL prefix."""
    for entry in views.blueprints:
        blueprint, prefix = entry if isinstance(entry, tuple) else (entry, None)
        app.register_blueprint(blueprint, url_prefix=prefix, name=_free_name(app, blueprint.name))


def _free_name(app: flask.Flask, name: str) -> str:
    """``name``, or with a number when a blueprint has it already: one may be mounted more than once."""
    number, free = 1, name
    while free in app.blueprints:
        number += 1
        free = f"{name}_{number}"
    return free
