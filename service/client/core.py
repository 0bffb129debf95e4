"""What both clients do, without doing it: each call is a generator that says what to send and how long to sleep.

``Client`` and ``AsyncClient`` carry that out, each in its way, so that there is one place for retries, deadlines and
reading answers. Nothing here touches a socket or a clock but ``time.monotonic``.
"""

from __future__ import annotations

import dataclasses
import json
import random
import time
import urllib.parse
from collections.abc import Generator, Mapping
from typing import Any, TypeVar

from service.client import errors

T = TypeVar("T")

AGAIN = frozenset({429, 502, 503, 504})  #: answers after which the same is asked again
NEVER_DONE = frozenset({429})  #: answers that promise that nothing was done
BACKOFF = (0.1, 5.0)  #: seconds between attempts: first, longest; full jitter


@dataclasses.dataclass(frozen=True)
class Limits:
    """How long a call may take."""

    timeout: float = 10.0  #: seconds for one attempt
    deadline: float = 30.0  #: seconds for all of them together


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """One request."""

    method: str
    path: str
    query: Mapping[str, Any] = dataclasses.field(default_factory=dict)  #: None: left out
    body: bytes | None = None
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    repeatable: bool = True  #: done twice, it has the effect of once
    waits: float = 0.0  #: seconds for which the server may keep back its answer

    @property
    def target(self) -> str:
        """Path and query."""
        given = {name: _text(value) for name, value in self.query.items() if value is not None}
        return f"{self.path}?{urllib.parse.urlencode(given)}" if given else self.path


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """One answer."""

    status: int
    headers: Mapping[str, str]  #: names in lower case
    body: bytes

    @property
    def document(self) -> Any:
        """The JSON in it, None if there is none; raises ServerFault if it cannot be read."""
        if not self.body:
            return None
        try:
            return json.loads(self.body)
        except ValueError:
            detail = "the answer is not JSON: is this a Millrace?"
            raise errors.ServerFault(self.status, {"detail": detail}) from None

    @property
    def retry_after(self) -> float | None:
        """The seconds that ``Retry-After`` asks for; a date there is not understood."""
        given = self.headers.get("retry-after", "")
        return float(given) if given.isascii() and given.isdigit() else None

    def problem(self) -> errors.Problem:
        """The error that it tells."""
        try:
            document = self.document
        except errors.ServerFault:
            document = None  # A proxy's page, say.
        return errors.of(self.status, document, retry_after=self.retry_after)


@dataclasses.dataclass(frozen=True, slots=True)
class Fault:
    """There was no answer."""

    message: str
    sent: bool  #: whether the request may have arrived


@dataclasses.dataclass(frozen=True, slots=True)
class Send:
    """To be sent, with this many seconds for the answer; what comes of it is given back."""

    request: Request
    seconds: float


@dataclasses.dataclass(frozen=True, slots=True)
class Sleep:
    """To be slept."""

    seconds: float


Steps = Generator[Send | Sleep, Answer | Fault | None, T]


def exchange(request: Request, limits: Limits, end: float | None = None) -> Steps[Answer]:
    """Ask until there is an answer; no attempt begins after ``end`` (by ``time.monotonic()``).

    Raises Problem for an answer that says no, Unreachable when there is none.
    """
    end = time.monotonic() + limits.deadline if end is None else end
    tries, unsure = 0, False
    while True:
        seconds = min(limits.timeout, max(0.1, end - time.monotonic())) + request.waits
        got = yield Send(request, seconds)
        assert got is not None
        if isinstance(got, Answer) and got.status < 300:
            return got
        error: errors.ClientError
        if isinstance(got, Answer):
            error = problem = got.problem()
            problem.unsure = unsure
            harmless, wanted = got.status in NEVER_DONE, got.retry_after
            if got.status not in AGAIN:
                raise error
        else:
            error, harmless, wanted = errors.Unreachable(got.message), not got.sent, None
        if not (request.repeatable or harmless):
            raise error
        unsure = unsure or not harmless
        wait = pause(tries, wanted)
        if time.monotonic() + wait >= end:
            raise error
        yield Sleep(wait)
        tries += 1


def pause(tries: int, wanted: float | None) -> float:
    """Seconds before the next attempt: what the server has asked for, and some more so that not all come at once."""
    first, longest = BACKOFF
    return (wanted or 0.0) + random.uniform(0, min(longest, first * 2**tries))


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
