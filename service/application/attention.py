"""What wants a person's attention: each with its cause, reckoned from the figures alone."""

from __future__ import annotations

import dataclasses
import datetime
import enum
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

from service.domain import errors, figures, outcome, words
from service.plans import zones

FAILING = 0.2  #: share of failed attempts that is told
FAILED = 5  #: failed attempts in the look back, at least
LOOK_BACK = 10  #: minutes
SILENT = 30.0  #: seconds after which a clock is taken for lost
FORGOTTEN = 900.0  #: seconds after which nobody asks after it any more
OLD = 300.0  #: seconds that something due may wait
NEW = datetime.timedelta(hours=1)  #: dead letters younger than this are news
AHEAD = datetime.timedelta(days=7)  #: clock changes are told so long before

SEVERITIES = ("critical", "warning", "note")

Clock = Callable[[datetime.datetime, str], str]  #: says an instant to who looks, to these digits


class What(enum.StrEnum):
    """What it is that wants attention."""

    NO_CLOCK = "no_clock"  #: none is alive
    CLOCK_SILENT = "clock_silent"  #: some are gone, others do their work
    BROKER_AWAY = "broker_away"
    FAILING = "failing"  #: many attempts of a type fail
    TYPE_PAUSED = "type_paused"
    QUEUE_PAUSED = "queue_paused"
    WINDOW_FULL = "window_full"  #: a type has as much with the broker as it may
    NOT_PUBLISHED = "not_published"  #: something is due for long, and no clock publishes it
    NOT_TAKEN = "not_taken"  #: something is with the broker for long
    DEAD_LETTERS = "dead_letters"  #: new ones
    STRAYS = "strays"
    CLOCK_CHANGE = "clock_change"  #: clocks of a time zone will be put forward or back


@dataclasses.dataclass(frozen=True, slots=True)
class Item:
    """One thing that wants attention."""

    severity: str  #: ``critical``, ``warning`` or ``note``
    what: What
    subject: str  #: what it is about
    title: str  #: goes on from the subject
    text: str
    facts: dict[str, Any] = dataclasses.field(default_factory=dict)  #: what it was decided by

    def place(self, pattern: str) -> str:
        """A path or a query for it: ``{subject}`` and its facts stand for themselves in ``pattern``."""
        known = {"subject": self.subject, **self.facts}
        return pattern.format_map({name: quote(str(value), safe="") for name, value in known.items()})


def look(
    flow: figures.Flow,
    depth: figures.Depth,
    letters: figures.Letters,
    *,
    window: int,
    clocks: Iterable[Mapping[str, Any]],
    tzs: Iterable[Mapping[str, Any]],
    broker: bool | None,
    clock: Clock,
) -> list[Item]:
    """All of it, the worst first. ``clocks`` and ``tzs`` are those of ``ledger.figures``."""
    failing = list(_failing(flow, clock))
    found = [
        *_clocks(clocks),
        *failing,
        *_paused(depth, clock),
        *_full(depth, window),
        *_waiting(depth),
        *_letters(letters, flow.now, {item.subject for item in failing}),
        *_clock_changes(tzs, flow.now),
    ]
    if broker is False:
        found.append(
            Item("critical", What.BROKER_AWAY, "The broker", "is not reachable from here",
                 "Accepting goes on: events are kept in the ledger, and go out when it is back.")
        )  # fmt: skip
    return sorted(found, key=lambda item: SEVERITIES.index(item.severity))


def sentence(flow: figures.Flow, depth: figures.Depth, items: list[Item]) -> str:
    """How it is, in one sentence."""
    moving = flow.rate("accepted", "done") > 0
    state = "Flowing" if moving else ("Waiting" if depth.open else "At rest")
    if any(item.severity == "critical" for item in items):
        state = "Not well"
    wanting = [item for item in items if item.severity != "note"]
    if not wanting:
        return f"{state}; nothing wants your attention"
    number = {1: "one thing wants", 2: "two things want", 3: "three things want", 4: "four things want"}
    return f"{state}; {number.get(len(wanting), f'{len(wanting)} things want')} a look"


def _failing(flow: figures.Flow, clock: Clock) -> Iterator[Item]:
    for name in sorted(flow.types()):
        bad = flow.recent(LOOK_BACK + 1, "retry", "dead", type=name)
        good = flow.recent(LOOK_BACK + 1, "done", type=name)
        if bad < FAILED or bad < FAILING * (bad + good):
            continue
        failed = flow.series("retry", "dead", type=name)
        since = next(m for m, n in zip(flow.minutes, failed, strict=True) if n)
        yield Item(
            "critical", What.FAILING, name,
            f"fails: {words.percent(bad / (bad + good))} of its attempts in the last {LOOK_BACK} minutes",
            f"{words.many(bad, 'attempt')} failed, {good:,} succeeded; the first in this hour failed at"
            f" {clock(since, 'minutes')}. Other types are not slowed down.",
            {"failed": bad, "succeeded": good, "since": since},
        )  # fmt: skip


def _paused(depth: figures.Depth, clock: Clock) -> Iterator[Item]:
    for what, told, rows in (
        (What.TYPE_PAUSED, depth.of_type, depth.types),
        (What.QUEUE_PAUSED, depth.of_queue, depth.queues),
    ):
        for name, row in rows.items():
            if row["paused_at"] is None:
                continue
            waiting = sum(lane.due for lane in told(name))
            yield Item(
                "warning", what, name,
                f"is paused, {words.many(waiting, 'event')} {'waits' if waiting == 1 else 'wait'}",
                f"The {'type' if what is What.TYPE_PAUSED else 'queue'} was paused by"
                f" {row['paused_by'] or 'someone unknown'} at {clock(row['paused_at'], 'seconds')}"
                f"{': ' + row['paused_because'] if row['paused_because'] else ''}.",
                {"waiting": waiting, "since": row["paused_at"], "by": row["paused_by"],
                 "because": row["paused_because"]},
            )  # fmt: skip


def _full(depth: figures.Depth, window: int) -> Iterator[Item]:
    for name, row in depth.types.items():
        if row["out_events"] < window or row["paused_at"] is not None:
            continue
        if held := sum(lane.due for lane in depth.of_type(name)):
            yield Item(
                "warning", What.WINDOW_FULL, name,
                f"fills its window, {words.many(held, 'event')} held back",
                f"{row['out_events']:,} of {window:,} are with the broker. They go on as those are worked; the other"
                " types are not slowed down.",
                {"out": row["out_events"], "window": window, "waiting": held},
            )  # fmt: skip


def _waiting(depth: figures.Depth) -> Iterator[Item]:
    for lane in depth.lanes:
        paused = lane.queue in depth.queues or (depth.types.get(lane.type) or {}).get("paused_at")
        if paused:
            continue
        if lane.due and (lane.due_for or 0) > OLD:
            yield Item(
                "critical", What.NOT_PUBLISHED, lane.type,
                f"has been due for {words.span(lane.due_for)} and was not published",
                f"{words.many(lane.due, 'event')} for the queue {lane.queue}. Is a clock alive?",
                {"queue": lane.queue, "waiting": lane.due, "seconds": lane.due_for},
            )  # fmt: skip
        elif (lane.out_for or 0) > OLD:
            yield Item(
                "warning", What.NOT_TAKEN, lane.type,
                f"waits: the first was published {words.span(lane.out_for)} ago",
                f"{words.many(lane.out, 'event')} in the queue {lane.queue}. Does a worker take this queue?",
                {"queue": lane.queue, "waiting": lane.out, "seconds": lane.out_for},
            )  # fmt: skip


def _letters(letters: figures.Letters, now: datetime.datetime, told: set[str]) -> Iterator[Item]:
    new = [group for group in letters.groups if group.first >= now - NEW and group.type not in told]
    for group in new[:3]:
        yield Item(
            "warning", What.DEAD_LETTERS, group.type,
            f"has {words.many(group.count, 'dead letter')}, {outcome.told(group.reason)}",
            f"{group.error}: {group.message}" if group.error else group.message,
            {"count": group.count, "reason": group.reason, "since": group.first, "example": group.example},
        )  # fmt: skip
    if letters.strays:
        yield Item(
            "note", What.STRAYS, "The queue dead",
            f"held {words.many(letters.strays, 'message')} that {'is' if letters.strays == 1 else 'are'} not ours",
            "They name no event; bytes and headers were kept.",
            {"count": letters.strays},
        )  # fmt: skip


def _clocks(clocks: Iterable[Mapping[str, Any]]) -> Iterator[Item]:
    known = list(clocks)
    silent = [one for one in known if one["silent"] > SILENT]
    if len(silent) == len(known):
        yield Item(
            "critical", What.NO_CLOCK, "No clock", "is alive",
            "Accepting and working go on; retries, delayed events and schedules wait. Start one:"
            " celery -A schedules beat",
        )  # fmt: skip
        return
    gone = [one for one in silent if one["silent"] < FORGOTTEN]
    if gone:
        names = [str(one["name"]) for one in gone[:3]]
        yield Item(
            "note", What.CLOCK_SILENT, words.many(len(gone), "clock"),
            f"{'has' if len(gone) == 1 else 'have'} fallen silent",
            f"{', '.join(names)}{' and others' if len(gone) > 3 else ''}. The other clocks do the work.",
            {"count": len(gone), "clocks": names},
        )  # fmt: skip


def _clock_changes(found: Iterable[Mapping[str, Any]], now: datetime.datetime) -> Iterator[Item]:
    begin = now.replace(tzinfo=None)
    for row in found:
        try:
            changes = zones.changes(zones.get(row["tz"] or "UTC"), begin, begin + AHEAD)
        except errors.DeclarationError:
            continue
        for change in changes:
            day = f"{change.begin:%A} {change.begin.day} {change.begin:%B}"
            yield Item(
                "note", What.CLOCK_CHANGE, f"{row['tz']}", f"{change.describe()} on {day}",
                f"{words.many(int(row['schedules']), 'schedule')} of this zone, {row['example']} for one; the"
                " preview of each says what it does.",
                {"schedules": int(row["schedules"]), "example": row["example"], "at": change.instant},
            )  # fmt: skip
