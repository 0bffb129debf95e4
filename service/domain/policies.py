"""Policies of a schedule: what becomes of a planned instant that cannot simply be fired."""

from __future__ import annotations

import dataclasses
import datetime
import enum
from collections.abc import Callable, Mapping
from typing import Any

from service.domain import durations, errors, instants

LONGEST = 366 * 86_400.0  #: seconds; of every length of time in a policy
MOST_RUNS = 1_000_000_000


class Misfire(enum.StrEnum):
    """What becomes of instants that no clock could fire in time."""

    SKIP = "skip"  #: they are skipped; the latest is fired if it is not later than the window
    LAST = "last"  #: the latest is fired, however late it is; the others are skipped
    ALL = "all"  #: each is fired that is not later than the window


class Overlap(enum.StrEnum):
    """What becomes of an instant while an event of the same schedule is still open."""

    ALLOW = "allow"  #: it is fired beside it
    SKIP = "skip"  #: it is skipped
    QUEUE_ONE = "queue_one"  #: it waits until that one has ended; while one waits, further ones are skipped
    CANCEL_RUNNING = "cancel_running"  #: the open ones are cancelled, and it is fired


#: Seconds by which an instant may be late and still be fired, where the schedule does not say; None: however late.
WINDOWS = {Misfire.SKIP: 60.0, Misfire.LAST: None, Misfire.ALL: 3600.0}


@dataclasses.dataclass(frozen=True, slots=True)
class Policy:
    """All policies of one schedule."""

    misfire: Misfire = Misfire.LAST
    misfire_window: float | None = None  #: seconds; None: the default in ``WINDOWS``
    overlap: Overlap = Overlap.ALLOW
    jitter: float = 0.0  #: seconds; each instant is fired so much later at the most, always by the same length
    starts_at: datetime.datetime | None = None  #: no instant before this one
    ends_at: datetime.datetime | None = None  #: no instant after this one
    max_runs: int | None = None  #: so many instants become events, then the schedule has finished
    expires_after: float | None = None  #: seconds after which an event that nobody has worked expires

    @property
    def window(self) -> float | None:
        """Seconds by which an instant may be late and still be fired; None: however late."""
        return WINDOWS[self.misfire] if self.misfire_window is None else self.misfire_window

    def spec(self) -> dict[str, Any]:
        """What is not the default, as JSON."""
        found = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value != field.default:
                found[field.name] = value.isoformat() if isinstance(value, datetime.datetime) else value
        return found


def read(document: Mapping[str, Any]) -> Policy:
    """A policy from JSON, or from what a call was given; None stands for the default.

    Lengths of time are seconds or text like ``5m``, instants are aware datetimes or text (RFC 3339). Raises
    InvalidSchedule that names each field with something wrong.
    """
    found: dict[str, Any] = {}
    faults = []
    for name, value in document.items():
        if value is None:
            continue
        try:
            found[name] = READERS[name](value)
        except KeyError:
            faults.append(errors.Fault(f"/{name}", f"there is no such policy; there are {', '.join(READERS)}"))
        except ValueError as error:
            faults.append(errors.Fault(f"/{name}", str(error)))
    policy = Policy(**found)
    if not faults:
        faults = _contradictions(policy)
    if faults:
        raise errors.InvalidSchedule(faults)
    return policy


def instant(value: object) -> datetime.datetime:
    """An instant in UTC, within those that are reckoned with; raises ValueError."""
    found = value
    if isinstance(value, str):
        try:
            found = datetime.datetime.fromisoformat(value)
        except ValueError:
            found = None
    if not isinstance(found, datetime.datetime) or found.tzinfo is None:
        raise ValueError(f"{value!r}: an instant with its zone is wanted (RFC 3339), like 2026-01-31T08:00:00Z")
    return instants.bounded(found)


def _one_of(words: type[enum.StrEnum]) -> Callable[[object], Any]:
    def parse(value: object) -> enum.StrEnum:
        try:
            return words(str(value))
        except ValueError:
            raise ValueError(f"{value!r}: one of {', '.join(words)} is wanted") from None

    return parse


def _length(least: float) -> Callable[[object], float]:
    def parse(value: object) -> float:
        found = durations.seconds(value)
        if not least <= found <= LONGEST:
            raise ValueError(f"{value!r}: {durations.text(least) if least else '0'} to 366 days are wanted")
        return found

    return parse


def _runs(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_RUNS:
        raise ValueError(f"{value!r}: a whole number is wanted, from 1 to {MOST_RUNS}")
    return value


READERS: dict[str, Callable[[object], Any]] = {
    "misfire": _one_of(Misfire),
    "misfire_window": _length(1),
    "overlap": _one_of(Overlap),
    "jitter": _length(0),
    "starts_at": instant,
    "ends_at": instant,
    "max_runs": _runs,
    "expires_after": _length(1),
}


def _contradictions(policy: Policy) -> list[errors.Fault]:
    """What is right by itself, and wrong together."""
    if policy.starts_at is not None and policy.ends_at is not None and policy.ends_at <= policy.starts_at:
        return [errors.Fault("/ends_at", f"it must lie after starts_at, {policy.starts_at.isoformat()}")]
    return []
