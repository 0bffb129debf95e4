"""What a request hands to the intake, and what it gets back."""

from __future__ import annotations

import datetime
import enum
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from service.application import ports
from service.domain import errors, event

#: Called by the intake thread, with all its submissions of a flush that were answered.
Told = Callable[[list["Submission"]], None]


class Phase(enum.Enum):
    """How far a submission is."""

    WAITING = enum.auto()
    TAKEN = enum.auto()  #: a flush has it; it may be stored at any moment
    WITHDRAWN = enum.auto()  #: its request gave up before a flush took it
    ANSWERED = enum.auto()


class Accepted(NamedTuple):
    """An event that is safe now."""

    id: str
    type: str
    run_at: datetime.datetime | None = None  #: not before this instant; None: at once
    duplicate: bool = False  #: the idempotency key was known: this is the first event's id


class Submission:
    """Some events that are stored together or not at all, and the request that waits for them."""

    __slots__ = ("accepted", "done", "error", "events", "phase", "rows", "told", "waiter")

    def __init__(self, events: Sequence[event.NewEvent], told: Told | None = None, waiter: Any = None) -> None:
        self.events = events
        self.told = told  #: who is told when it is answered, if nobody waits for ``done``
        self.waiter = waiter  #: whatever that one knows it by
        self.phase = Phase.WAITING
        self.rows: list[ports.Row] = []
        self.accepted: list[Accepted] = []
        self.error: errors.MillraceError | None = None
        self.done = threading.Lock()
        self.done.acquire()
