"""What can go wrong between a client and Millrace. The docstring of a class says what it means for who has sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class ClientError(Exception):
    """Something went wrong that the client knows by name."""


class Unreachable(ClientError):
    """No answer came in time. What was sent may have arrived: send it again, with the same key."""


class Unsendable(ClientError):
    """It cannot even be sent: the address or a header is wrong. Nothing has left this machine."""


class Problem(ClientError):
    """Millrace has said no, in a problem document (RFC 9457)."""

    def __init__(self, status: int, document: Mapping[str, Any], *, retry_after: float | None = None) -> None:
        self.status = status  #: of the answer, or of the item among many
        self.document = document  #: all that was said
        self.type: str = str(document.get("type", "about:blank"))  #: like /problems/invalid-event
        self.title: str = str(document.get("title", ""))
        self.detail: str = str(document.get("detail", ""))
        #: What is wrong, part by part: ``detail`` and a ``pointer``, ``parameter`` or ``attribute``.
        self.errors: list[dict[str, str]] = list(document.get("errors", ()))
        self.retry_after = retry_after  #: seconds after which to ask again; None: nothing was said
        self.unsure = False  #: an attempt before this one has had no answer, and may have done what was asked
        super().__init__(self._sentence())

    def _sentence(self) -> str:
        faults = "; ".join(f"{_place(fault)}: {fault.get('detail', '')}" for fault in self.errors)
        told = (self.detail or self.title or f"the answer was {self.status}").rstrip(".")
        return f"{told}: {faults}" if faults and faults not in told else told


class Invalid(Problem):
    """What was sent cannot be taken (400, 413, 415, 422). Sending it again is of no use."""


class NotAllowed(Problem):
    """The key is missing, unknown or revoked, or may not do this (401, 403)."""


class NotFound(Problem):
    """There is no such event type, event or schedule (404)."""


class Conflict(Problem):
    """It is not in the state for this: being worked, ended, replayed or changed meanwhile (409, 412, 428)."""


class Unavailable(Problem):
    """It could not be done until the deadline (429, 502, 503, 504). Send it again, with the same key."""

    @property
    def stored(self) -> str:
        """Whether what was posted is stored: ``no``, or ``unknown``."""
        return str(self.document.get("stored", "unknown"))

    @property
    def event_ids(self) -> list[str]:
        """The events that may be stored all the same, to be asked for later."""
        return list(self.document.get("event_ids", ()))


class ServerFault(Problem):
    """Something went wrong there that nobody thought of (any other 5xx), or the answer is not Millrace's."""


class NotEnded(ClientError):
    """The event is still open, and the time to wait for it is up."""

    def __init__(self, event_id: str, state: str, seconds: float) -> None:
        super().__init__(f"the event {event_id} is still {state} after {seconds:g} s")
        self.event_id = event_id
        self.state = state


class SpoolFull(ClientError):
    """The spool has no room: what it was given is not kept."""


class SpoolBroken(ClientError):
    """The spool cannot be read or written: what it was just given is not kept."""


#: Status → the error; what is not named is a ServerFault from 500 on, else a Problem.
KINDS: Mapping[int, type[Problem]] = {
    400: Invalid,
    401: NotAllowed,
    403: NotAllowed,
    404: NotFound,
    409: Conflict,
    412: Conflict,
    413: Invalid,
    415: Invalid,
    422: Invalid,
    428: Conflict,
    429: Unavailable,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}


def of(status: int, document: Any, *, retry_after: float | None = None) -> Problem:
    """The error for a status and its problem document; whatever else stood in the body is ignored."""
    kind = KINDS.get(status, ServerFault if status >= 500 or status < 400 else Problem)
    return kind(status, document if isinstance(document, dict) else {}, retry_after=retry_after)


def _place(fault: Mapping[str, str]) -> str:
    return fault.get("pointer") or fault.get("parameter") or fault.get("attribute") or "/"
