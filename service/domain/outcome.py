"""What came of an event: the words in which a handler answers and in which outcomes are counted."""

from __future__ import annotations

import dataclasses
import datetime
import enum
from typing import Any, NamedTuple

#: seconds; how far ahead an event may be put off: a hundred years
FARTHEST = 100 * 365 * 86_400.0


class Word(enum.StrEnum):
    """An outcome, as counted in tallies and metrics."""

    DONE = "done"  #: succeeded
    RETRY = "retry"  #: an attempt failed, another follows
    DEAD = "dead"  #: became a dead letter
    SNOOZED = "snoozed"  #: put off, by its handler or for what that lacks; no attempt used
    EXPIRED = "expired"  #: too late to be worked
    CANCELLED = "cancelled"  #: withdrawn while its detached handler ran
    SKIPPED = "skipped"  #: found nothing to do: worked before, or being worked elsewhere


class Answer(Exception):
    """What a handler says instead of returning a value; it may be returned or raised."""


class Retry(Answer):
    """Try again, after ``after`` seconds or by the handler's back-off. Uses up an attempt."""

    def __init__(self, after: float | None = None, reason: str = "the handler asked for a retry") -> None:
        super().__init__(reason)
        self.after = None if after is None else _seconds("after", after)
        self.reason = str(reason)


class Discard(Answer):
    """Give the event up now: it becomes a dead letter with this reason."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = str(reason)


class Snooze(Answer):
    """Look again at ``until`` (an aware datetime) or ``seconds`` from now. Uses up no attempt."""

    def __init__(self, until: datetime.datetime | None = None, *, seconds: float | None = None) -> None:
        super().__init__("snoozed")
        if (until is None) == (seconds is None):
            raise ValueError("give either until= or seconds=")
        if until is not None and until.tzinfo is None:
            raise ValueError("until: a datetime with a time zone is wanted")
        self.until = until
        self.seconds = None if seconds is None else _seconds("seconds", seconds)


def _seconds(name: str, value: float) -> float:
    if not 0 <= value <= FARTHEST:  # Not a number is not in between either.
        raise ValueError(f"{name}: seconds from now are wanted, at most a hundred years, not {value!r}")
    return float(value)


@dataclasses.dataclass(frozen=True, slots=True)
class Failure:
    """A failed attempt, as it is kept."""

    error: str  #: class of the exception, or of the answer
    message: str
    traceback: str | None = None


class Outcome(NamedTuple):
    """What the ledger writes for one event."""

    event_id: str
    word: Word
    result: Any = None  #: for DONE: what the handler returned, as JSON
    failure: Failure | None = None  #: for RETRY and DEAD; for SNOOZED, what its handler lacks
    reason: str | None = None  #: for DEAD: a ``Reason``
    delay: float | None = None  #: for RETRY and SNOOZED: seconds until it is due again
    until: datetime.datetime | None = None  #: for SNOOZED: the instant when it is due again


class Reason(enum.StrEnum):
    """Why an event is a dead letter."""

    ATTEMPTS = "attempts"  #: every attempt failed
    DISCARDED = "discarded"  #: the handler gave it up
    INVALID = "invalid"  #: its payload does not fit the handler's model
    NO_RETRY = "no_retry"  #: an error that its handler does not want to be tried again
    WORKER_LOST = "worker_lost"  #: its worker was lost too often while it ran

    @property
    def told(self) -> str:
        """The same for people."""
        return TOLD[self]


TOLD: dict[str, str] = {
    Reason.ATTEMPTS: "attempts used up",
    Reason.DISCARDED: "discarded by its handler",
    Reason.INVALID: "payload does not fit",
    Reason.NO_RETRY: "an error that is not retried",
    Reason.WORKER_LOST: "worker lost",
}


def told(reason: str) -> str:
    """Why an event is a dead letter, for people; a word of a newer version as it is."""
    return TOLD.get(reason, reason)
