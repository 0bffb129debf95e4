"""Tickets that wait for a child join each other: while all children are busy, those of one type become one run.

At low load nothing waits for company: as long as a child is idle, a ticket goes straight to it. When events come faster
than one by one can be worked, what gathers in the worker's parent is worked in one transaction, and each costs less.
What is joined is told by the measured run time, as at the door. What goes wrong parts them again: one by one in the
same run after an error; delivered anew by the broker, and carefully, after a lost child.
"""

from __future__ import annotations

import dataclasses
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from typing import Any

from service.broker import message as envelope
from service.domain import handlers
from service.domain import ticket as tickets

KEPT = 0.8  #: of what was seen of a type before, beside its newest run
LONG = 5 * handlers.BUNDLE_WORK  #: seconds; a run that takes this long tells the pace alone
#: Bytes of what has joined, which must fit into the pipe to a child (64 KiB on Linux): when a worker is told to stop,
#: Celery's pool leaves what is half written as it is, and the child waits for the rest.
LONGEST = 48 * 1024


class Paces:
    """How long an event of each type takes, as this worker has seen it lately."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[float, float]] = {}  # Seconds, and the events that took them.

    def note(self, type_name: str, runs: list[float]) -> None:
        """Take in the seconds of a run, by event."""
        if not runs:
            return
        # By event, not by run: an event that came alone pays for all that a run costs, and says little of a bundle.
        seconds, events = sum(runs), float(len(runs))
        if seconds < LONG:  # What has become slow is believed at once.
            before, of_events = self._seen.get(type_name, (0.0, 0.0))
            seconds, events = seconds + KEPT * before, events + KEPT * of_events
        self._seen[type_name] = seconds, events

    def of(self, type_name: str) -> float | None:
        """Seconds for one event; None if none was seen."""
        seconds, events = self._seen.get(type_name, (0.0, 0.0))
        return seconds / events if events else None


class Joint:
    """Several messages that Celery sees as one: acked together, rejected together."""

    def __init__(self, messages: list[Any]) -> None:
        self._messages = messages
        arguments = [envelope.argument(message.payload) for message in messages]
        self.body = envelope.encoded(arguments)
        count = sum(message.headers[envelope.COUNT] for message in messages)
        self.headers = messages[0].headers | {envelope.COUNT: count, envelope.TICKETS: len(messages)}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._messages[0], name)

    def ack_log_error(self, *args: Any, **kwargs: Any) -> None:
        """Ack them all."""
        for message in self._messages:
            message.ack_log_error(*args, **kwargs)

    def reject_log_error(self, *args: Any, **kwargs: Any) -> None:
        """Reject them all."""
        for message in self._messages:
            message.reject_log_error(*args, **kwargs)


@dataclasses.dataclass(frozen=True, slots=True)
class Crowd:
    """What waits in a worker of one queue, and what has waited since it was asked last."""

    most: int  #: messages, at any one time
    gone: int  #: messages that went on to a child meanwhile
    pace: float | None  #: seconds of work in one that waits now; None if that is known of none, or of less than half


@dataclasses.dataclass(frozen=True, slots=True)
class Lane:
    """Those that may join each other, and take one turn among all lanes."""

    type: str
    queue: str
    careful: bool  #: each may have cost a worker its life, and joins nobody


class Gathering:
    """The tickets of one worker that wait for a child."""

    def __init__(
        self,
        receive: Callable[[Any], None],
        registry: handlers.Registry,
        paces: Paces,
        is_busy: Callable[[], bool],
    ) -> None:
        self._receive = receive  #: gives a message to Celery
        self._registry = registry
        self._paces = paces
        self._is_busy = is_busy  #: whether all children have something to do
        self._waiting: OrderedDict[Lane, deque[tuple[Any, int]]] = OrderedDict()
        # By queue, in messages.
        self._count: Counter[str] = Counter()
        self._most: dict[str, int] = {}
        self._gone: Counter[str] = Counter()

    def take(self, message: Any, ticket: tickets.Delivery) -> None:
        """Take a message in: it goes on at once, or waits for a child."""
        queue = ticket.queue
        lane = Lane(ticket.type, queue, ticket.careful)
        self._waiting.setdefault(lane, deque()).append((message, len(ticket.event_ids)))
        self._count[queue] += 1
        self._most[queue] = max(self._most.get(queue, 0), self._count[queue])
        self.release()

    def release(self) -> None:
        """Give on what waits, in turns between lanes, as long as there is a child for it."""
        while self._waiting and not self._is_busy():
            lane, waiting = self._waiting.popitem(last=False)
            joint = self._next(lane, waiting)
            self._count[lane.queue] -= len(joint)
            self._gone[lane.queue] += len(joint)
            if waiting:
                self._waiting[lane] = waiting
            self._receive(joint[0] if len(joint) == 1 else Joint(joint))

    def crowds(self) -> dict[str, Crowd]:
        """Of each queue what waits, and has waited since this was called last."""
        found = {queue: Crowd(most, self._gone[queue], self._pace(queue)) for queue, most in self._most.items()}
        self._count = +self._count  # Without those of which nothing waits.
        self._most, self._gone = dict(self._count), Counter()
        return found

    def _pace(self, queue: str) -> float | None:
        known, seconds = 0, 0.0
        for lane, waiting in self._waiting.items():
            each = self._paces.of(lane.type) if lane.queue == queue else None
            if each is not None:
                known += len(waiting)
                seconds += each * sum(size for _, size in waiting)
        return seconds / known if known and 2 * known >= self._count[queue] else None

    def _next(self, lane: Lane, waiting: deque[tuple[Any, int]]) -> list[Any]:
        handler = self._registry.get(lane.type)
        is_alone = lane.careful or handler.detached
        room = 1 if is_alone else handler.bundle_at(self._paces.of(lane.type))
        message, size = waiting.popleft()
        found, length = [message], len(message.body)
        while waiting and size + waiting[0][1] <= room and length + len(waiting[0][0].body) <= LONGEST:
            message, more = waiting.popleft()
            found.append(message)
            size += more
            length += len(message.body)
        return found
