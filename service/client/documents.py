"""What goes to Millrace and what comes back, as plain objects."""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections.abc import Mapping
from typing import Any

from service.client import errors

OPEN = frozenset({"pending", "running"})  #: states of an event that has not ended
INSTANTS = ("accepted_at", "expected_at", "run_at", "expires_at", "finished_at", "discarded_at")  #: among its members

Json = Any


@dataclasses.dataclass(frozen=True, slots=True)
class NewEvent:
    """An event to be sent."""

    type: str  #: like ``orders.created``
    payload: Json  #: what JSON can hold
    key: str | None = None  #: the same key is the same event; None: one is made
    run_at: datetime.datetime | None = None  #: not worked before this instant
    delay: float | None = None  #: seconds before it is worked, instead of ``run_at``
    expires_at: datetime.datetime | None = None  #: not worked after this instant
    traceparent: str | None = None  #: W3C trace context

    def times(self) -> dict[str, str | float]:
        """What it says of time, as the API wants it; raises ValueError for an instant without a zone."""
        found: dict[str, str | float] = {}
        if self.run_at is not None:
            found["run_at"] = instant(self.run_at)
        if self.delay is not None:
            found["delay"] = self.delay
        if self.expires_at is not None:
            found["expires_at"] = instant(self.expires_at)
        return found

    def line(self) -> bytes:
        """The event as a line of NDJSON; raises ValueError or TypeError for what is no JSON."""
        members: dict[str, Any] = {"type": self.type, "payload": self.payload, "key": self.key, **self.times()}
        if self.traceparent is not None:
            members["traceparent"] = self.traceparent
        return encode({name: value for name, value in members.items() if value is not None or name == "payload"})


@dataclasses.dataclass(frozen=True, slots=True)
class Event:
    """An event as Millrace shows it. After a mere acceptance only the first six are known."""

    id: str
    type: str
    state: str  #: pending, running, succeeded, dead, cancelled or expired
    accepted_at: datetime.datetime | None
    reason: str | None = None  #: why it waits, or why it is dead
    expected_at: datetime.datetime | None = None  #: of one just accepted: when it should start, about; None: unknown
    attempt: int = 0
    payload: Json = None
    result: Json = None  #: what its handler has returned
    error: Json = None  #: of the last attempt that failed: ``error``, ``message``, …
    progress: Json = None  #: of a detached handler
    run_at: datetime.datetime | None = None
    expires_at: datetime.datetime | None = None
    finished_at: datetime.datetime | None = None
    producer: str | None = None
    schedule: str | None = None
    replay_of: str | None = None
    replayed_as: str | None = None
    discarded_at: datetime.datetime | None = None  #: of a dead letter: since when nothing more is to come of it
    document: Mapping[str, Any] = dataclasses.field(default_factory=dict, compare=False, repr=False)  #: all of it

    @property
    def ended(self) -> bool:
        """Whether its state is its last."""
        return self.state not in OPEN

    @classmethod
    def of(cls, document: Any) -> Event:
        """From a document of the API; raises ServerFault for one that is something else."""
        try:
            known = {f.name: document[f.name] for f in dataclasses.fields(cls) if f.name in document}
            for name in INSTANTS:
                known[name] = None if known.get(name) is None else datetime.datetime.fromisoformat(known[name])
            return cls(**known | {"document": document})
        except (TypeError, ValueError):
            raise errors.ServerFault(200, {"detail": "the answer is no event: is this a Millrace?"}) from None


@dataclasses.dataclass(frozen=True, slots=True)
class Item:
    """What became of one event among many."""

    event: NewEvent  #: as it was sent, with its key
    id: str | None = None  #: of the stored event
    problem: errors.ClientError | None = None  #: why it is not known to be stored
    judged: bool = False  #: whether Millrace has looked at this very event, and ``problem`` is about nothing else


@dataclasses.dataclass(frozen=True, slots=True)
class Page:
    """A page of a list."""

    rows: list[dict[str, Any]]
    cursor: str | None  #: leads to the next page; None: this was the last


def encode(value: Json) -> bytes:
    """Strict JSON in UTF-8; raises ValueError or TypeError for what is none."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def instant(at: datetime.datetime) -> str:
    """An instant as RFC 3339; raises ValueError for one without a zone."""
    if at.tzinfo is None:
        raise ValueError(f"{at.isoformat()}: an instant with its zone is wanted")
    return at.isoformat()
