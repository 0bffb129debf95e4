"""Cookies. Over TLS each has the prefix ``__Host-``: browsers take it from this very host only, so no neighbour of the
same domain can plant one (RFC 6265bis, section 4.1.3.2). Only on loopback is there no TLS.
"""

from __future__ import annotations

from typing import Literal

import flask

from service.values import is_loopback
from service.web import whence

Site = Literal["Lax", "Strict"]


def is_secure(request: flask.Request, public_url: str) -> bool:
    """Whether browsers come over TLS, as far as can be told."""
    if public_url:
        return public_url.startswith("https:")
    return request.scheme == "https" or not is_loopback(whence.host(request.host))


def name(request: flask.Request, public_url: str, plain: str) -> str:
    """What a cookie is called."""
    return f"__Host-{plain}" if is_secure(request, public_url) else plain


def get(request: flask.Request, public_url: str, plain: str) -> str:
    """What it holds; nothing where there is none."""
    return request.cookies.get(name(request, public_url, plain), "")


def put(
    response: flask.Response, request: flask.Request, public_url: str, plain: str, value: str,
    *, max_age: int | None = None, site: Site = "Lax",
) -> None:  # fmt: skip
    """Have the browser keep one, for this session of it or for so many seconds; no script reads it."""
    response.set_cookie(
        name(request, public_url, plain), value, max_age=max_age, secure=is_secure(request, public_url), httponly=True,
        samesite=site, path="/",
    )  # fmt: skip


def drop(response: flask.Response, request: flask.Request, public_url: str, plain: str, *, site: Site = "Lax") -> None:
    """Have the browser forget it, if it has it."""
    found = name(request, public_url, plain)
    if found in request.cookies:
        response.delete_cookie(
            found, secure=is_secure(request, public_url), httponly=True, samesite=site, path="/"
        )  # fmt: skip
