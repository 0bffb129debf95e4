"""Pages: templates and the headers that go with them. Every page of the console is made here."""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import pathlib
import re
from typing import Any, cast

import flask
import jinja2
import markupsafe

import service
from service.domain.access import Permission
from service.web import access, errors
from service.web.console import charts, forms, words

log = logging.getLogger("millrace.web")

pages = flask.Blueprint("console", __name__, url_prefix="/console")

FOLDER = pathlib.Path(__file__).parent
STATIC = FOLDER / "static"
YEAR = 31_536_000  #: seconds

#: Headers of a problem that its page has too.
KEPT = ("Retry-After", "Allow", "Location", "WWW-Authenticate")

#: Never kept by a browser: there may be payloads in it.
PRIVATE = "private, no-store"

FILTERS = (
    words.at, words.badge, words.between, words.clock, words.count, words.many, words.percent, words.rate, words.reason,
    words.short, words.slot, words.tail, words.span, words.state_of, words.until, charts.spark, words.traceback,
)  # fmt: skip


@functools.cache
def templates() -> jinja2.Environment:
    """The templates; an environment of our own, so that no user's template of the same name takes their place."""
    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {one.__name__: one for one in FILTERS}
    found.globals |= {
        "asset": asset,
        "csrf": forms.hidden,
        "csrf_token": forms.token,
        "version": service.__version__,
        "zone_name": words.zone_name,
        "json": json.dumps,
    }
    return found


@functools.cache
def asset(name: str) -> str:
    """The address of a file under static/. It changes with the file, so that browsers may keep it for ever."""
    digest = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]
    return f"/console/static/{name}?v={digest}"


def render(template: str, status: int = 200, **values: Any) -> flask.Response:
    """A whole page."""
    from service.web.console import frame

    said = forms.said()
    values = frame.around() | values | {"said": said, "oob": ""}
    response = _response(templates().get_template(template).render(values), status)
    if said is not None:
        forms.heard(response)
    return response


def fragment(template: str, status: int = 200, **values: Any) -> flask.Response:
    """Parts of a page, each to be put in the place of the one that is there."""
    from service.web.console import frame

    values = frame.around() | values | {"oob": markupsafe.Markup('hx-swap-oob="morph"')}
    response = _response(templates().get_template(template).render(values), status)
    # What has not changed is not sent again; the browser shows the same part it has.
    response.headers["Cache-Control"] = "private, no-cache"
    response.set_etag(hashlib.sha256(response.get_data()).hexdigest()[:20])
    response.make_conditional(flask.request)
    return response


def dialog(template: str, status: int = 200, **values: Any) -> flask.Response:
    """A form by itself: in a dialog for who has one, else as a page."""
    inside = flask.request.headers.get("X-Dialog") == "1"
    return render(template, status, layout="dialog.html" if inside else "base.html", **values)


def is_fragment() -> bool:
    """Whether a script asks, for a part of a page."""
    return "HX-Request" in flask.request.headers


def _response(text: str, status: int) -> flask.Response:
    response = flask.Response(text, status, mimetype="text/html")
    response.headers["Cache-Control"] = PRIVATE
    response.headers["X-Now"] = str(round(words.now().timestamp() * 1000))
    return response


@pages.get("/static/<path:name>")
@access.needs(Permission.ASK)
def static(name: str) -> flask.Response:
    """A style sheet, a script."""
    kept = YEAR if "v" in flask.request.args else 0
    return flask.send_from_directory(STATIC, name, max_age=kept)


@pages.get("/<path:rest>")
@access.needs(Permission.ASK)
def nothing(rest: str) -> Any:
    """What is not there is said in the console's own words."""
    flask.abort(404, f"There is no page /console/{rest[:100]}.")


@pages.errorhandler(Exception)
def failed(error: Exception) -> flask.Response:
    """An error as a page, by the same title, status and detail that a program is told."""
    if "Authorization" in flask.request.headers and not isinstance(error, forms.NotConfirmed):
        return cast(flask.Response, errors.answer(error))  # A program: pages are for people.
    document, status, headers = _problem(error)
    values = {"problem": document, "path": flask.request.full_path.removesuffix("?")}
    if is_fragment() and flask.request.method == "GET":
        response = _response(templates().get_template("problem.html").render(values), status)
    else:
        response = _response(templates().get_template("error.html").render(values), status)
    response.headers.update(headers)
    return response


def _problem(error: Exception) -> tuple[dict[str, Any], int, dict[str, str]]:
    if isinstance(error, forms.NotConfirmed):
        title = re.split(r"[:.]", type(error).__doc__ or "")[0]
        told: dict[str, Any] = {"title": title, "status": 409, "detail": str(error), "errors": []}
        return told | {"instance": flask.g.get("request_id", "")}, 409, {}
    answered = errors.answer(error)
    kept = {name: value for name, value in answered.headers.items() if name in KEPT}
    try:
        document = json.loads(answered.get_data())
    except ValueError:  # A redirect.
        document = {"title": answered.status, "detail": ""}
    return {"errors": [], "instance": ""} | document, answered.status_code, kept
