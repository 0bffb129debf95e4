"""Replay: a dead letter is worked again, as a new event.

The old event keeps its word, ``dead``, and points to the new one; that is set once, so two operators at once make one
replay. The new event's ticket is due by the throttle, and the clock publishes it like any other: nothing waits here.
"""

from __future__ import annotations

import dataclasses
import datetime
import logging
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from service import signals
from service.application import ports
from service.domain import errors, handlers, ids, outcome, topology
from service.domain import ticket as tickets

log = logging.getLogger("millrace.replay")

BATCH = 500  #: letters in one commit
BUNDLE = 50  #: events on a ticket, of a type whose handler fixes no number
FIRST = "00000000-0000-0000-0000-000000000000"  #: below every id


@dataclasses.dataclass(slots=True)
class OfType:
    """What came of the letters of one type."""

    type: str
    replayed: int = 0  #: or would be, of a dry run
    unfit: int = 0  #: left alone: the payload does not fit what the handler asks for today
    unhandled: int = 0  #: left alone: this process has no handler for the type
    example: str | None = None  #: the first that was left alone, and why


@dataclasses.dataclass(frozen=True, slots=True)
class Summary:
    """What came of a replay by filter."""

    dry_run: bool
    replayed: int
    left: int  #: letters that the filter still finds
    complete: bool  #: whether all of them were looked at, before limit or time were up
    types: list[OfType]
    #: When the next letter would be due, by the rate: a replay in turns goes on from there. None: nothing was replayed.
    next_at: datetime.datetime | None = None


class Replayer:
    """Replays dead letters."""

    def __init__(self, ledger: ports.LetterLedger, registry: handlers.Registry, *, rate: float) -> None:
        self._ledger = ledger
        self._registry = registry
        self._rate = rate  #: events per second, where nothing else is asked for

    def one(
        self, event_id: str, *, edited: Payload | None = None, by: str | None, request_id: str | None = None
    ) -> tuple[str, str]:
        """Replay one letter, with another payload if ``edited``; (type, id) of the new event.

        Raises EventNotFound, NotDead, AlreadyReplayed with the id of the first replay, UnknownEventType, InvalidEvent.
        """
        with self._ledger.replay() as replaying:
            letter = replaying.take(event_id)
            parse = self._registry.get(letter.type).parse
            if parse is not None:
                parse(letter.payload if edited is None else edited.value)
            planned = plan([letter], self._registry, replaying.now(), rate=self._rate, edited=edited)
            replaying.write(planned, by=by, request_id=request_id)
        _tell([letter], by)
        return letter.type, planned[0].new_id

    def some(
        self,
        filters: Any,
        *,
        limit: int,
        rate: float | None = None,
        dry_run: bool = False,
        by: str | None,
        request_id: str | None = None,
        seconds: float | None = None,
        starts_at: datetime.datetime | None = None,
    ) -> Summary:
        """Replay up to ``limit`` letters, the oldest first, ``rate`` events per second, none due before ``starts_at``.

        ``dry_run`` only looks. What does not fit is left alone and counted. It ends after about ``seconds``; the next
        turn is told its ``next_at`` then, so that all turns together keep the rate.
        """
        rate = rate or self._rate
        due = 0.0 if starts_at is None else starts_at.timestamp()
        deadline = None if seconds is None else time.monotonic() + seconds
        types: dict[str, OfType] = {}
        after, done, complete = FIRST, 0, False
        while not complete and done < limit and (deadline is None or time.monotonic() < deadline):
            with self._ledger.replay() as replaying:
                letters = replaying.take_some(filters, after, BATCH, lock=not dry_run)
                fitting = self._sort(letters, types)
                fit = fitting[: limit - done]
                if fit and not dry_run:
                    now = replaying.now()
                    due = max(due, now)
                    planned = plan(fit, self._registry, now, rate=rate, begins=due)
                    due += len(fit) / rate
                    replaying.write(planned, by=by, request_id=request_id)
            for letter in fit:
                types[letter.type].replayed += 1
            if fit and not dry_run:
                _tell(fit, by)
            done += len(fit)
            complete = len(letters) < BATCH and len(fit) == len(fitting)  # Not where the limit cut some off.
            after = letters[-1].id if letters else after
        left = sum(self._ledger.count(filters).values()) - (done if dry_run else 0)
        next_at = datetime.datetime.fromtimestamp(due, datetime.UTC) if done and not dry_run else None
        return Summary(dry_run, done, left, complete, sorted(types.values(), key=lambda t: t.type), next_at)

    def _sort(self, letters: Sequence[ports.Letter], types: dict[str, OfType]) -> list[ports.Letter]:
        """The letters whose payload fits; the others are counted."""
        fit = []
        for letter in letters:
            counts = types.setdefault(letter.type, OfType(letter.type))
            try:
                parse = self._registry.get(letter.type).parse
                if parse is not None:
                    parse(letter.payload)
                fit.append(letter)
            except errors.UnknownEventType as error:
                counts.unhandled += 1
                counts.example = counts.example or f"{letter.id}: {error}"
            except errors.InvalidEvent as error:
                counts.unfit += 1
                faults = "; ".join(f"{f.pointer or '/'}: {f.detail}" for f in error.faults)
                counts.example = counts.example or f"{letter.id}: {faults}"
        return fit


@dataclasses.dataclass(frozen=True, slots=True)
class Payload:
    """A payload that takes the old one's place."""

    value: Any  #: as Python objects
    text: str  #: as JSON


def plan(
    letters: Sequence[ports.Letter],
    registry: handlers.Registry,
    now: float,
    *,
    rate: float,
    begins: float | None = None,
    edited: Payload | None = None,
) -> list[ports.Replay]:
    """The new events and their tickets, ``rate`` a second from ``begins`` on (seconds since the epoch; None: now).

    What cost workers their lives is worked carefully from the start.
    """
    groups: dict[tuple[str, str | None, bool], list[ports.Letter]] = {}
    for letter in letters:
        key = (letter.type, letter.schedule, letter.reason == outcome.Reason.WORKER_LOST)
        groups.setdefault(key, []).append(letter)
    planned: list[ports.Replay] = []
    for (type_name, schedule, careful), members in groups.items():
        handler = registry.get(type_name)
        exchange, key_, queue = _route(type_name, schedule, handler)
        size = min(handler.bundle or BUNDLE, max(1, int(rate)))  # A ticket holds what a second may bring, and no more.
        for start in range(0, len(members), size):
            bundle = members[start : start + size]
            new = [ids.uuid7(now) for _ in bundle]
            ticket = tickets.Ticket(ids.uuid7(now), type_name, tuple(new), exchange, key_, queue, careful=careful)
            wait = (0.0 if begins is None else begins - now) + len(planned) / rate
            text = None if edited is None else edited.text
            planned += [
                ports.Replay(letter, new_id, ticket, wait, text) for letter, new_id in zip(bundle, new, strict=True)
            ]
    return planned


def _route(type_name: str, schedule: str | None, handler: handlers.Handler) -> tuple[str, str, str]:
    """(exchange, routing key, queue). A tick stays with the queue of ticks."""
    if schedule is not None:
        return *topology.tick_route(schedule), topology.PERIODIC_QUEUE
    return *topology.event_route(type_name, handler.queue), handler.queue


def _tell(letters: Sequence[ports.Letter], by: str | None) -> None:
    counts = Counter(letter.type for letter in letters)
    signals.events_accepted.send(None, counts=counts, outcome="accepted")
    log.info(
        "%d dead letters were replayed", len(letters), extra={"action": "replay.done", "by": by, "types": dict(counts)}
    )
