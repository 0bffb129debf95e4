"""Tickets that wait for a child join each other: while all children are busy, those of one type become one run.

At low load nothing waits for company: as long as a child is idle, a ticket goes straight to it. When events come faster
than one by one can be worked, what gathers in the worker's parent is worked in one transaction, and each costs less.
What is joined is told by the measured run time, as at the door. What goes wrong parts them again: one by one in the
same run after an error; delivered anew by the broker, and carefully, after a lost child.
"""

from __future__ import annotations

import dataclasses
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Any

from service.broker import message as envelope
from service.domain import handlers
from service.domain import ticket as tickets

KEPT = 0.8  #: of what was seen of a type before, beside its newest run
LONG = 5 * handlers.BUNDLE_WORK  #: seconds; a run that takes this long tells the pace alone


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
    """What waits in a worker, and what has waited since it was asked last."""

    most: int  #: messages, at any one time
    gone: int  #: messages that went on to a child meanwhile
    pace: float | None  #: seconds of work in one that waits now, by what is known; None if that is less than half


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
        self._waiting: OrderedDict[tuple[str, str], deque[tuple[Any, int]]] = OrderedDict()
        self._count = self._most = self._gone = 0

    def take(self, message: Any, ticket: tickets.Delivery) -> None:
        """Take a message in: it goes on at once, or waits for a child."""
        if ticket.careful:
            self._receive(message)  # It may have cost a worker its life, and joins nobody.
            return
        found = (message, len(ticket.event_ids))
        self._waiting.setdefault((ticket.type, ticket.queue), deque()).append(found)
        self._count += 1
        self._most = max(self._most, self._count)
        self.release()

    def release(self) -> None:
        """Give on what waits, in turns between types, as long as there is a child for it."""
        while self._waiting and not self._is_busy():
            key, waiting = self._waiting.popitem(last=False)
            joint = self._next(key[0], waiting)
            self._count -= len(joint)
            self._gone += len(joint)
            if waiting:
                self._waiting[key] = waiting
            self._receive(joint[0] if len(joint) == 1 else Joint(joint))

    def crowd(self) -> Crowd:
        """What waits, and has waited since this was called last."""
        known, seconds = 0, 0.0
        for (type_name, _), waiting in self._waiting.items():
            each = self._paces.of(type_name)
            if each is not None:
                known += len(waiting)
                seconds += each * sum(size for _, size in waiting)
        pace = seconds / max(1, known) if 2 * known >= self._count else None
        found = Crowd(self._most, self._gone, pace)
        self._most, self._gone = self._count, 0
        return found

    def _next(self, type_name: str, waiting: deque[tuple[Any, int]]) -> list[Any]:
        handler = self._registry.get(type_name)
        room = 1 if handler.detached else handler.bundle_at(self._paces.of(type_name))
        message, size = waiting.popleft()
        found = [message]
        while waiting and size + waiting[0][1] <= room:
            message, more = waiting.popleft()
            found.append(message)
            size += more
        return found
