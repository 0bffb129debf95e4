"""The figures that people watch: the last hour by minutes, what is open by lanes, what is dead by groups."""

from __future__ import annotations

import dataclasses
import datetime
from collections import Counter
from collections.abc import Mapping
from typing import Any

EXACT = 10_000  #: counts are exact up to here


@dataclasses.dataclass(frozen=True, slots=True)
class Flow:
    """The last hour, minute by minute."""

    now: datetime.datetime
    minutes: tuple[datetime.datetime, ...]  #: their beginnings, the oldest first; the last one still runs
    counts: Mapping[datetime.datetime, Counter[tuple[str, str]]]  #: minute → (type, word) → how many
    #: Minute → queue → seconds for which a ticket that was worked in it had been out; a minute's fraction is left out.
    waits: Mapping[datetime.datetime, Mapping[str, float]] = dataclasses.field(default_factory=dict)

    def series(self, *words: str, type: str | None = None) -> list[int]:
        """How many of these words there were in each minute."""
        return [self._count(minute, words, type) for minute in self.minutes]

    def total(self, *words: str, type: str | None = None) -> int:
        """How many of these words there were in the hour."""
        return sum(self.series(*words, type=type))

    def recent(self, minutes: int, *words: str, type: str | None = None) -> int:
        """How many of these words there were in the last minutes, the one that runs among them."""
        return sum(self._count(minute, words, type) for minute in self.minutes[-minutes:])

    def rate(self, *words: str, type: str | None = None) -> float:
        """Events per second of late: in the minute that runs, and in the one before."""
        seconds = 60.0 + (self.now - self.minutes[-1]).total_seconds()
        return self.recent(2, *words, type=type) / max(seconds, 1.0)

    def _count(self, minute: datetime.datetime, words: tuple[str, ...], type: str | None) -> int:
        counts = self.counts[minute]
        if type is not None:  # Looked up, and not looked for: a page asks for each of a thousand types.
            return sum(counts[type, word] for word in words)
        return sum(n for (_, word), n in counts.items() if word in words)

    def waited(self) -> list[tuple[float, str | None]]:
        """For each minute the longest of those waits, and whose queue that was."""
        return [
            max(((seconds, queue) for queue, seconds in self.waits.get(minute, {}).items()), default=(0.0, None))
            for minute in self.minutes
        ]

    def types(self) -> set[str]:
        """The types of which anything was counted."""
        return {type_name for counts in self.counts.values() for type_name, _ in counts}


@dataclasses.dataclass(frozen=True, slots=True)
class Lane:
    """What is open of one type in one queue."""

    type: str
    queue: str
    due: int = 0  #: events that are due and not with the broker
    due_tickets: int = 0
    later: int = 0  #: events whose time has not come: delayed ones, and those between two attempts
    later_tickets: int = 0
    out: int = 0  #: events that are with the broker or with workers
    out_tickets: int = 0
    due_for: float | None = None  #: seconds for which the first of those that are due has been so
    out_for: float | None = None  #: seconds since the first of those that are out was published
    next_due: datetime.datetime | None = None  #: of those whose time has not come

    @property
    def open(self) -> int:
        """All open events."""
        return self.due + self.later + self.out

    @property
    def exact(self) -> bool:
        """Whether these are all, and not only those up to the limit."""
        return max(self.due_tickets + self.later_tickets, self.out_tickets) < EXACT


@dataclasses.dataclass(frozen=True, slots=True)
class Depth:
    """What is open, by lanes, and what is decided about types and queues."""

    lanes: tuple[Lane, ...]
    types: Mapping[str, dict[str, Any]]  #: by name: out_events, pace, paused_at, _by, _because
    queues: Mapping[str, dict[str, Any]]  #: those that are paused, by name

    @property
    def open(self) -> int:
        """All open events; see ``exact``."""
        return sum(lane.open for lane in self.lanes)

    @property
    def exact(self) -> bool:
        """Whether every lane was counted to its end."""
        return all(lane.exact for lane in self.lanes)

    def of_type(self, name: str) -> list[Lane]:
        """The lanes of a type."""
        return [lane for lane in self.lanes if lane.type == name]

    def of_queue(self, name: str) -> list[Lane]:
        """The lanes of a queue."""
        return [lane for lane in self.lanes if lane.queue == name]


@dataclasses.dataclass(slots=True)
class Group:
    """Dead letters with the same type, reason and error that nobody has replayed or discarded."""

    type: str
    reason: str
    error: str
    message: str  #: of the latest
    count: int
    first: datetime.datetime
    last: datetime.datetime
    example: str  #: the id of the latest


@dataclasses.dataclass(frozen=True, slots=True)
class Letters:
    """The dead letters that nobody has replayed or discarded, among the latest."""

    groups: tuple[Group, ...]  #: the largest first
    open: int  #: how many there are
    exact: bool  #: whether all dead letters were looked at, and not only the latest 10,000
    strays: int  #: messages that were not ours

    @property
    def grouped(self) -> bool:
        """Whether all of them are in the groups, and not only the latest."""
        return sum(group.count for group in self.groups) >= self.open
