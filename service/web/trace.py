"""The header ``traceparent`` of W3C Trace Context."""

from __future__ import annotations

import re
from typing import Any

from service import signals

KEY = "millrace.traceparent"  #: in a WSGI environment: the context in which goes on what comes of the request

#: Section 3.2.2: version, trace-id, parent-id, flags. What a later version adds comes after another dash (3.2.4).
TRACEPARENT = re.compile(r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-[!-~]*)?")


def valid(given: str | None) -> str | None:
    """What can be handed on; None for what is no trace context, which the standard says to ignore (section 3.2.2.3)."""
    found = TRACEPARENT.fullmatch(given) if given else None
    if found is None:
        return None
    version, trace, parent, flags, rest = found.groups()
    if version == "00":
        return None if rest else given
    # Section 3.2.4: what is understood of a later version is handed on as the version that is known.
    return f"00-{trace}-{parent}-{int(flags, 16) & 1:02x}"


def begin(environ: dict[str, Any]) -> None:
    """Note the context of a request, once: the client's, or that of our own span below it."""
    if KEY not in environ:
        given = valid(environ.get("HTTP_TRACEPARENT"))
        method = environ["REQUEST_METHOD"]
        environ[KEY] = signals.asked(signals.request_begun, given, method=method, traceparent=given)
