"""Headers that keep browsers from doing what we do not want. What a view has set itself stays.

Source: OWASP Secure Headers Project. Pages have no inline style or script, nothing from another host, and stand in no
frame.
"""

from __future__ import annotations

import flask

from service.web import guard, road

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
OF_PAGES = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
NOSNIFF = ("x-content-type-options", "nosniff")
#: What one may see is not for the next one who asks.
PRIVATE = ("cache-control", "private, no-store")
YEAR = 31_536_000  #: seconds


def add(response: flask.Response, request: flask.Request) -> None:
    """Add what is missing to an answer."""
    found = response.headers
    found.setdefault(*NOSNIFF)
    keeper = guard.current()
    for name, value in keeper.headers(request.environ):
        found.setdefault(name, value)
    if response.mimetype == "text/html":
        for name, value in OF_PAGES.items():
            found.setdefault(name, value)
        if road.current().settings.public_url.startswith("https:"):
            found.setdefault("Strict-Transport-Security", f"max-age={YEAR}")
    if keeper.is_on:
        found.setdefault(*PRIVATE)
