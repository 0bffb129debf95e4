"""What the use cases ask of the ledger and the broker."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

from service.domain import errors, event, outcome
from service.domain import ticket as tickets

# --- accept -----------------------------------------------------------------------------------------------------


class FlushFailed(errors.LedgerUnavailable):
    """The ledger failed in the middle of a flush."""

    def __init__(self, message: str, *, in_doubt: bool) -> None:
        super().__init__(message)
        self.in_doubt = in_doubt  #: the commit was under way: the events may be stored


class FlushRefused(errors.MillraceError):
    """The ledger refuses a row of the flush for what it holds."""


@dataclasses.dataclass(slots=True)
class Row:
    """An event on its way into the ledger."""

    id: str
    event: event.NewEvent
    ticket: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Owner:
    """The event that has an idempotency key already."""

    event_id: str
    fingerprint: str


@dataclasses.dataclass(frozen=True, slots=True)
class NewTicket:
    """A ticket on its way into the ledger, and on to the broker."""

    ticket: tickets.Ticket
    due_at: datetime.datetime | None  #: None: now
    head_start: float  #: seconds that its accepter has for publishing it


@dataclasses.dataclass(frozen=True, slots=True)
class Waits:
    """How long, about, until workers have done what is there, in seconds. What is missing, nobody can say."""

    types: Mapping[str, float] = dataclasses.field(default_factory=dict)  #: of those with a full window: all that waits
    queues: Mapping[str, float] = dataclasses.field(default_factory=dict)  #: what is with the broker


@dataclasses.dataclass(frozen=True, slots=True)
class Held:
    """Whose tickets are not published at the door but wait in the ledger, for the clock; and how long others wait."""

    types: frozenset[str] = frozenset()  #: paused, or with a full window
    paused: frozenset[str] = frozenset()  #: those of them that are paused
    queues: frozenset[str] = frozenset()  #: paused
    paces: Mapping[str, float] = dataclasses.field(default_factory=dict)  #: type → measured seconds for each event
    rooms: Mapping[str, int] = dataclasses.field(default_factory=dict)  #: slow type → how many more may be out
    waits: Waits = dataclasses.field(default_factory=Waits)

    def holds(self, type_name: str, queue: str) -> bool:
        """Whether a ticket of this type and queue must wait."""
        return type_name in self.types or queue in self.queues


class Flush(AbstractContextManager["Flush"], Protocol):
    """One transaction of the intake."""

    def claim_keys(self, rows: Sequence[Row]) -> dict[str, Owner]: ...
    def store(
        self, rows: Sequence[Row], tickets: Sequence[NewTicket], confirmed: Sequence[tuple[str, int]]
    ) -> Held: ...


class Clock(Protocol):
    """The ledger's time."""

    def now(self) -> float: ...


class IntakeLedger(Protocol):
    """The ledger as the intake sees it. Used by one thread."""

    @property
    def clock(self) -> Clock: ...
    def open(self) -> None: ...
    def drop(self) -> None: ...
    def hang_up(self) -> None:
        """Have the other thread's wait for the ledger end in an error."""

    def flush(self) -> AbstractContextManager[Any]: ...
    def holds(self, event_ids: Sequence[str]) -> bool: ...


class Endings(Protocol):
    """The ledger as those see it who wait for outcomes."""

    def ended(self, event_ids: Sequence[str]) -> set[str]: ...


# --- publish ----------------------------------------------------------------------------------------------------


class Broker(Protocol):
    """The way to the broker. Used by one thread."""

    def publish(self, batch: Sequence[tickets.Ticket], timeout: float) -> set[str]:
        """Publish, and the ids that the broker has confirmed within ``timeout`` seconds.

        Queues that do not answer while others do are left out, and nothing of them is confirmed. Raises
        BrokerUnavailable when nothing was; some may have been published then.
        """

    def resting(self) -> frozenset[str]:
        """The queues that are left out now."""

    def tick(self) -> None:
        """Connect if need be, and see to heartbeats; to be called every second or so. Raises BrokerUnavailable."""

    def ready(self, queue: str) -> int:
        """How many messages are ready in a queue, 0 if there is no such queue. Raises BrokerUnavailable."""

    def drop(self) -> None:
        """Throw the connection away, without a word to the broker."""


@dataclasses.dataclass(frozen=True, slots=True)
class Due:
    """A ticket that is due, with the revision it had."""

    ticket: tickets.Ticket
    revision: int


class ReleaseLedger(Protocol):
    """The ledger as the clock's publisher sees it."""

    def take_due(self, limit: int, lead: float, without: Collection[str] = ()) -> list[Due]: ...
    def take_overdue(self, queue: str, empty: bool, limit: int, lead: float) -> list[Due]: ...
    def overdue_queues(self) -> list[str]: ...
    def mark_out(self, confirmed: Sequence[tuple[str, int]]) -> None: ...
    def give_back(self, taken: Sequence[tuple[str, int]]) -> None: ...


# --- execute ----------------------------------------------------------------------------------------------------


class Claimed(NamedTuple):
    """An event that this transaction has locked."""

    event: event.Event
    age: float  #: seconds since it was accepted, at the claim
    waited: float  #: seconds since it was due, at the claim
    expired: bool
    at: float  #: when it was claimed, by ``time.monotonic``


@dataclasses.dataclass(frozen=True, slots=True)
class Attempt:
    """What the ledger must know to keep a failed attempt and to see to another."""

    event: event.Event
    exchange: str
    routing_key: str
    queue: str
    seconds: float  #: how long it ran


Attempts = Mapping[str, Attempt]  #: by event id


class Faults(Protocol):
    """Who can tell whose fault an error is."""

    def is_infrastructure(self, error: BaseException) -> bool: ...
    def is_overtime(self, error: BaseException) -> bool: ...


class Work(Protocol):
    """One transaction of a worker."""

    @property
    def lost(self) -> bool: ...
    def is_infrastructure(self, error: BaseException) -> bool: ...
    def is_conflict(self, error: BaseException) -> bool: ...
    def is_overtime(self, error: BaseException) -> bool: ...
    def claim(self, delivery: tickets.Delivery, ids: Sequence[str]) -> list[Claimed]: ...
    def count_crash(self, delivery: tickets.Delivery, event_id: str, number: int) -> int | None: ...
    def session(self, *, shared: bool) -> Any: ...
    def close_session(self) -> None: ...
    def finish(
        self,
        delivery: tickets.Delivery,
        outcomes: Sequence[outcome.Outcome],
        attempts: Attempts,
        ran: float | None,
        late: int = 0,
    ) -> None: ...
    def settle(self, delivery: tickets.Delivery, rest: Sequence[str] = ()) -> None: ...
    def commit(self) -> None: ...


class Strikes(Protocol):
    """The soft time limit of the ticket in hand, which strikes at any line by raising an error there."""

    def hold(self) -> None:
        """Let it wait from now on."""

    def release(self) -> None:
        """Let it strike again; raises that error if it has waited."""


class WorkLedger(Protocol):
    """The ledger as a worker sees it."""

    def work(self, limits: tuple[float, float], since: float) -> AbstractContextManager[Work]: ...
    def is_infrastructure(self, error: BaseException) -> bool: ...


# --- replay -----------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter that can be replayed."""

    id: str  #: of the dead event
    type: str
    payload: Any
    reason: str  #: why it died
    schedule: str | None  #: of a tick


@dataclasses.dataclass(frozen=True, slots=True)
class Replay:
    """A dead letter on its way to be a new event."""

    letter: Letter
    new_id: str
    ticket: tickets.Ticket
    wait: float  #: seconds until it may be worked
    payload: str | None = None  #: JSON instead of the old payload


class Replaying(Protocol):
    """One transaction in which dead letters are replayed."""

    def now(self) -> float: ...
    def take(self, event_id: str) -> Letter: ...
    def take_some(self, filters: Any, after: str, limit: int, *, lock: bool) -> list[Letter]: ...
    def write(self, replays: Sequence[Replay], *, by: str | None, request_id: str | None) -> None: ...


class LetterLedger(Protocol):
    """The dead letters of the ledger."""

    def count(self, filters: Any) -> dict[str, int]: ...
    def replay(self) -> AbstractContextManager[Replaying]: ...


# --- execute, detached ------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True)
class Run:
    """One run of a detached handler. What is written about it names its ticket and its attempt: that is the fence."""

    event: event.Event
    ticket: str  #: of this run alone; it is due when the lease ends
    age: float  #: seconds from the event's acceptance to the claim
    waited: float = 0.0  #: seconds from the instant when it was due to the claim


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """An open event of a detached handler that this transaction has locked."""

    run: Run  #: pending: the run that would begin now; running: the one that holds it
    running: bool
    live: bool  #: running, and its lease has not ended
    ours: bool  #: running, and begun by this very delivery, which was not told so
    cancelled: bool  #: somebody asked the run to stop
    expired: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Renewal:
    """What a renewal tells: the lease holds."""

    cancelled: bool  #: somebody asked the run to stop
    overtime: bool  #: and its grace has passed


@dataclasses.dataclass(frozen=True, slots=True)
class Progress:
    """How far a run has come."""

    fraction: float  #: 0 to 1
    message: str


class LeaseWork(Protocol):
    """One short transaction about an event of a detached handler."""

    def find(self, delivery: tickets.Delivery) -> Found | None: ...
    def settle(self, delivery: tickets.Delivery) -> None: ...
    def move(self, delivery: tickets.Delivery, queue: str) -> None: ...
    def expire(self, delivery: tickets.Delivery, run: Run) -> None: ...
    def start(self, run: Run, queue: str, ticket: str) -> Run: ...
    def take_over(self, run: Run, queue: str, ticket: str) -> Run: ...
    def go_on(self, run: Run) -> Run: ...
    def end(
        self,
        delivery: tickets.Delivery,
        run: Run,
        result: outcome.Outcome,
        attempt: Attempt,
        progress: Progress | None = None,
        late: bool = False,
    ) -> outcome.Word: ...
    def give_back(self, delivery: tickets.Delivery, run: Run, queue: str, delay: float) -> outcome.Word: ...
    def commit(self) -> None: ...


class LeaseLedger(Protocol):
    """The ledger as a detached handler's worker sees it."""

    def work(self, session: Any = None) -> AbstractContextManager[LeaseWork]: ...
    def session(self, until: float, spare: float) -> Any: ...
    def return_ticket(self, delivery: tickets.Delivery) -> None: ...
    def renew(self, run: Run, progress: Progress | None) -> Renewal | None: ...
    def is_infrastructure(self, error: BaseException) -> bool: ...
