"""What a form needs: proof that it came from the console, and a word afterwards of what came of it."""

from __future__ import annotations

import datetime
import functools
import re
import urllib.parse
from collections.abc import Callable
from typing import Any, TypeVar, cast

import flask
import markupsafe

from service.domain import chain, errors
from service.web import access, cookies, gate, hooks, letters, road, sessions, signin

View = TypeVar("View", bound=Callable[..., Any])

NOBODY = "console"  #: who acts, where nobody is asked who they are
SAID = "millrace_said"  #: the cookie that carries one sentence over to the next page
SAID_FOR = 60  #: seconds
LONGEST = 300  #: characters of that sentence
LAST_YEAR = letters.LAST_START  #: of an instant in a form
TONES = ("yes", "warning")


class NotConfirmed(errors.MillraceError):
    """The number that was typed is not the number of events by now: nothing was done."""


def token() -> str:
    """What every form carries in its field ``csrf``, and every request of a script in ``X-CSRF-Token``."""
    return signin.form_token()


def hidden() -> markupsafe.Markup:
    """The field for a form."""
    return markupsafe.Markup('<input type="hidden" name="{}" value="{}">').format(sessions.FIELD, token())


def acts(view: View) -> View:
    """Let only forms of this very origin into a view; below the route, above the permission.

    What the form says of why it is done goes into the audit entry of the act.
    The guard asks those who are signed in for the token too; where access is off, it asks nobody for anything.
    """

    @functools.wraps(view)
    def checked(*args: Any, **values: Any) -> Any:
        sessions.check_origin(flask.request, _public_url())
        if access.of(flask.request.environ) is None and hooks.named_producer(flask.request.environ) is None:
            flask.g.producer = NOBODY
        chain.explain(because())
        return view(*args, **values)

    return cast(View, checked)


def because() -> str | None:
    """Why the act is done, as the form says it: one line, without what controls."""
    said = "".join(letter for letter in text("because") or "" if letter.isprintable())
    return said or None


def done(said: str, to: str, tone: str = "yes") -> flask.Response:
    """Go on to a page, which says what was done."""
    response = cast(flask.Response, flask.redirect(to, 303))
    value = urllib.parse.quote(f"{tone}:{said[:LONGEST]}")
    cookies.put(response, flask.request, _public_url(), SAID, value, max_age=SAID_FOR, site="Strict")
    return response


def said() -> tuple[str, str] | None:
    """(tone, sentence) that the page before left for this one."""
    tone, _, text = urllib.parse.unquote(cookies.get(flask.request, _public_url(), SAID)).partition(":")
    return (tone, text) if tone in TONES and text else None


def heard(response: flask.Response) -> None:
    """That sentence was said."""
    cookies.drop(response, flask.request, _public_url(), SAID, site="Strict")


def _public_url() -> str:
    return road.current().settings.public_url


def back(default: str) -> str:
    """Where a form wants to return to: a path of the console, or ``default``."""
    return _path(flask.request.form.get("back", ""), default)


def asked_back(default: str) -> str:
    """The same, for the page that shows the form: where it was asked for."""
    return _path(flask.request.args.get("back", ""), default)


def _path(given: str, default: str) -> str:
    return given if re.fullmatch(r"/console(/[A-Za-z0-9_./%-]*)?(\?[^#\s\\]*)?(#[a-z-]+)?", given) else default


def text(name: str, length: int = 300) -> str | None:
    """A field of the form that is being answered; None for an empty one."""
    return flask.request.form.get(name, "").strip()[:length] or None


def whole(given: str) -> int | None:
    """The whole number in a text of a form or a query; None: it is none, or has more than nine digits."""
    return int(given) if re.fullmatch(r"[0-9]{1,9}", given) else None


def moment(name: str) -> datetime.datetime | None:
    """An instant that a page of ours has written into the form; None for what is no instant of these years."""
    try:
        found = datetime.datetime.fromisoformat(text(name) or "")
    except ValueError:
        return None
    return found if found.tzinfo is not None and found.year <= LAST_YEAR else None


def now() -> datetime.datetime:
    """The ledger's time, for a form that tells how many there are by now."""
    with gate.reads():
        return road.current().operations.agenda.now()


def counted_at() -> datetime.datetime:
    """When that form counted; what came later is not meant, or nobody could act on what comes all the time."""
    return moment("counted_at") or now()


def check_typed(wanted: str) -> None:
    """Raises NotConfirmed unless this was typed: what cannot be undone is confirmed by hand."""
    if (text("confirm") or "").lower() != wanted.lower():
        raise NotConfirmed(f"what was typed is not {wanted}: nothing was done")


def number(name: str) -> int:
    """A whole number of the form that is being answered; 0 where there is none."""
    return whole(flask.request.form.get(name, "")) or 0
