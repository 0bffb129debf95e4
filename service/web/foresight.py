"""Foresight: what the headers alone refuse is refused before the body is read.

Who sends a body of some size is looked at first: without a good credential, or a place to go to, nobody makes us read
megabytes. Flask gives the answer, as ever; the body is simply not there.
"""

from __future__ import annotations

from typing import Any

import flask
from werkzeug import exceptions

from service.web import access, guard, inbound

#: Bytes of a body that is read without a look, for a look takes a thread's turn: a hundred events have some 40 KB. So
#: much may be sent, and is held for as long as it takes, by whoever has no key.
SMALL = 65_536


def is_wanted(environ: dict[str, Any]) -> bool:
    """Whether the body is worth the look."""
    return "HTTP_TRANSFER_ENCODING" in environ or inbound.length(environ) > SMALL


def is_refused(app: flask.Flask, environ: dict[str, Any]) -> bool:
    """Whether the request will be refused whatever its body says. It may ask the ledger or the issuer: in a thread."""
    request = app.request_class(environ)
    adapter = app.create_url_adapter(request)
    assert adapter is not None
    try:
        rule, _ = adapter.match(return_rule=True)
    except exceptions.HTTPException:
        return True  # Nothing is there, or not for this method.
    keeper: guard.Guard = app.extensions[guard.NAME]
    return keeper.foresee(request, access.all_needed(app.view_functions[rule.endpoint]))
