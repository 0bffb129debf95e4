"""``/openapi.json`` for programs, and ``/docs``, the same for people. The page has nothing from another host."""

from __future__ import annotations

import functools
from typing import Any

import flask

from service.domain.access import Permission
from service.web import access, answer, road
from service.web.openapi import document, page

pages = flask.Blueprint("openapi", __name__, template_folder="templates")

NAME = "millrace.openapi"  #: of the document among the application's extensions
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
}


@pages.get("/openapi.json")
@access.needs(Permission.ASK)
def show_document() -> answer.Json:
    """What this API takes and answers, as OpenAPI 3.1."""
    return answer.Json(_document())


@pages.get("/docs")
@access.needs(Permission.ASK)
def show_page() -> flask.Response:
    """The same for people."""
    html = flask.render_template("openapi/docs.html", **page.parts(_document()))
    return flask.Response(html, content_type="text/html; charset=utf-8", headers=HEADERS)


@pages.get("/docs/style.css")
@access.needs(Permission.ASK)
def show_style() -> flask.Response:
    """How that page looks."""
    return flask.Response(_style(), content_type="text/css; charset=utf-8", headers=HEADERS)


def _document() -> dict[str, Any]:
    """The document; it is the same for the life of the application."""
    app = flask.current_app
    if NAME not in app.extensions:
        app.extensions[NAME] = document.build(app, road.current().registry)
    found: dict[str, Any] = app.extensions[NAME]
    return found


@functools.cache
def _style() -> str:
    return (page.FOLDER / "static" / "docs.css").read_text()
