"""Sessions of the console: what the cookie holds is told to nobody else, and kept as a keyed hash in the ledger.

A form carries a token that is made from the cookie's, which no other site can read: without it nothing is changed.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Sequence
from typing import Protocol

import flask

from service.domain import credentials, errors
from service.domain.access import Kind, Principal, Role
from service.settings import Settings
from service.web import cookies, whence

COOKIE = "millrace"
FIELD = "csrf"  #: of a form
HEADER = "X-CSRF-Token"  #: of a script's request
TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")


class Ledger(Protocol):
    """The sessions of the ledger."""

    def begin(self, hash: str, *, name: str, role: str, verified: str | None, lasts: float) -> None: ...
    def session(self, hashes: Sequence[str], idle: float) -> tuple[str, str] | None: ...
    def end(self, hashes: Sequence[str]) -> None: ...


class Sessions:
    """Who is signed in."""

    def __init__(self, settings: Settings, ledger: Ledger) -> None:
        self._peppers: Sequence[str] = settings.access_secret
        self._public_url = settings.public_url
        self._idle, self._limit = settings.session_idle, settings.session_limit
        self._ledger = ledger

    def is_there(self, request: flask.Request) -> bool:
        """Whether the request has a cookie that could be one of a session."""
        return TOKEN.fullmatch(self._token(request)) is not None

    def look(self, request: flask.Request) -> Principal | None:
        """Who is signed in; None: nobody, or not any more. Raises LedgerUnavailable."""
        token = self._token(request)
        if not TOKEN.fullmatch(token):
            return None
        hashes = credentials.hashes(token, self._peppers)
        found = self._ledger.session(hashes, self._idle)
        return None if found is None else Principal(found[0], Role(found[1]), Kind.SESSION, id=hashes[0])

    def begin(
        self, request: flask.Request, response: flask.Response, *, name: str, role: Role, verified: str | None
    ) -> None:
        """Begin a session, and end the one that was there: its cookie may be known to somebody else.

        ``verified``: the hash that a local user's password has matched. Raises BadCredential when it is theirs no more.
        """
        self.end(request, response)
        token = secrets.token_urlsafe(32)
        hash = credentials.keyed_hash(token, self._peppers[0])
        self._ledger.begin(hash, name=name, role=role, verified=verified, lasts=self._limit)
        cookies.put(response, request, self._public_url, COOKIE, token)

    def end(self, request: flask.Request, response: flask.Response) -> None:
        """End the session, if there is one."""
        token = self._token(request)
        if TOKEN.fullmatch(token):
            self._ledger.end(credentials.hashes(token, self._peppers))
        cookies.drop(response, request, self._public_url, COOKIE)

    def form_token(self, request: flask.Request) -> str:
        """What a form must carry; empty without a session."""
        token = self._token(request)
        return self._of(token, self._peppers[0]) if TOKEN.fullmatch(token) else ""

    def check_form(self, request: flask.Request) -> None:
        """Raises NotPermitted unless a request that changes something comes from a page of ours."""
        check_origin(request, self._public_url)
        given = request.headers.get(HEADER) or (request.form.get(FIELD, "") if _is_form(request) else "")
        token = self._token(request)
        wanted = [self._of(token, pepper) for pepper in self._peppers]
        if not any(hmac.compare_digest(given.encode(), one.encode()) for one in wanted):
            raise errors.NotPermitted(
                "this form did not come from the console, or its session has ended: open the page again"
                f" (field {FIELD}, or header {HEADER})"
            )

    def _token(self, request: flask.Request) -> str:
        return cookies.get(request, self._public_url, COOKIE)

    @staticmethod
    def _of(token: str, pepper: str) -> str:
        return credentials.keyed_hash(f"form {token}", pepper)[:43]


def check_origin(request: flask.Request, public_url: str) -> None:
    """Raises NotPermitted for what a browser says comes from another site. A proxy may have asked by another host than
    the browser did: then ``public_url`` says which is ours.
    """
    if not whence.is_ours(request.environ, request.host, public_url):
        raise errors.NotPermitted("this comes from a page of another site")


def _is_form(request: flask.Request) -> bool:
    return request.mimetype in ("application/x-www-form-urlencoded", "multipart/form-data")
