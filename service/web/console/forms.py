"""What a form needs: proof that it came from the console, and a word afterwards of what came of it."""

from __future__ import annotations

import functools
import re
import urllib.parse
from collections.abc import Callable
from typing import Any, TypeVar, cast

import flask
import markupsafe

from service.domain import errors

View = TypeVar("View", bound=Callable[..., Any])

FIELD = "csrf"  #: name of the field that carries the token
SAID = "millrace_said"  #: the cookie that carries one sentence over to the next page
SAID_FOR = 60  #: seconds
LONGEST = 300  #: characters of that sentence
TONES = ("yes", "warning")


class ForeignForm(errors.MillraceError):
    """This form did not come from the console: open the page again and send it from there."""


class NotConfirmed(errors.MillraceError):
    """The number that was typed is not the number of events by now: nothing was done."""


def token() -> str:
    """What every form carries in its field ``csrf``, and every request of a script in ``X-CSRF-Token``."""
    return ""


def hidden() -> markupsafe.Markup:
    """The field for a form."""
    return markupsafe.Markup('<input type="hidden" name="{}" value="{}">').format(FIELD, token())


def acts(view: View) -> View:
    """Let only forms of the console into a view; below the route, above the permission."""

    @functools.wraps(view)
    def checked(*args: Any, **values: Any) -> Any:
        _check_origin()
        return view(*args, **values)

    return cast(View, checked)


def _check_origin() -> None:
    """Raises ForeignForm for what a browser says comes from another site."""
    headers = flask.request.headers
    site, origin = headers.get("Sec-Fetch-Site"), headers.get("Origin")
    if site is not None and site != "same-origin":
        raise ForeignForm()
    # An old browser tells the origin only. Neither of them: no browser, which nobody can make do anything.
    if origin is not None and urllib.parse.urlsplit(origin).netloc != flask.request.host:
        raise ForeignForm()


def done(said: str, to: str, tone: str = "yes") -> flask.Response:
    """Go on to a page, which says what was done."""
    response = cast(flask.Response, flask.redirect(to, 303))
    value = urllib.parse.quote(f"{tone}:{said[:LONGEST]}")
    response.set_cookie(SAID, value, max_age=SAID_FOR, path="/console", httponly=True, samesite="Strict")
    return response


def said() -> tuple[str, str] | None:
    """(tone, sentence) that the page before left for this one."""
    tone, _, text = urllib.parse.unquote(flask.request.cookies.get(SAID, "")).partition(":")
    return (tone, text) if tone in TONES and text else None


def back(default: str) -> str:
    """Where a form wants to return to: a path of the console, or ``default``."""
    given = flask.request.form.get("back", "")
    return given if re.fullmatch(r"/console(/[A-Za-z0-9_./%-]*)?(\?[^#\s\\]*)?(#[a-z-]+)?", given) else default


def text(name: str, length: int = 300) -> str | None:
    """A field of the form that is being answered; None for an empty one."""
    return flask.request.form.get(name, "").strip()[:length] or None


def number(name: str) -> int:
    """A whole number of the form that is being answered; 0 where there is none."""
    given = flask.request.form.get(name, "")
    return int(given) if re.fullmatch(r"[0-9]{1,9}", given) else 0
