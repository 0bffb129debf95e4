"""The headers of a request."""

from __future__ import annotations

from service import __version__
from service.domain.event import Event
from workers.http.request import Request


def of(wanted: Request, event: Event, traceparent: str | None) -> dict[str, str]:
    """What is sent beside what the client must send; the signature is not among it.

    ``Idempotency-Key`` is the event's id, as a string of structured fields (draft-ietf-httpapi-idempotency-key-header):
    the same for all attempts, so that a receiver can tell a second one. ``traceparent`` is that of the run, not of the
    event: the receiver's span stands below the attempt that asked it.
    """
    given = {name.lower() for name in wanted.headers}
    ours = {"User-Agent": f"millrace/{__version__}", "Accept": "*/*"}
    if wanted.content is not None:
        ours["Content-Type"] = "text/plain; charset=utf-8" if wanted.body is not None else "application/json"
    if traceparent:
        ours["traceparent"] = traceparent
    kept = {name: value for name, value in ours.items() if name.lower() not in given}
    return kept | wanted.headers | {"Idempotency-Key": f'"{event.id}"'}
