"""What wants a person's attention: each with its cause and the next step, reckoned from the figures alone."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterable, Iterator

from service.domain import errors, figures
from service.plans import zones
from service.web import road
from service.web.console import words

FAILING = 0.2  #: share of failed attempts that is told
FAILED = 5  #: failed attempts in the look back, at least
LOOK_BACK = 10  #: minutes
SILENT = 30.0  #: seconds after which a clock is taken for lost
FORGOTTEN = 900.0  #: seconds after which nobody asks after it any more
OLD = 300.0  #: seconds that something due may wait
NEW = datetime.timedelta(hours=1)  #: dead letters younger than this are news
AHEAD = datetime.timedelta(days=7)  #: clock changes are told so long before


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """A way to go on from here."""

    label: str
    path: str
    post: bool = False  #: it does something, instead of showing something
    ask: bool = False  #: it leads to a form, for those who may act


@dataclasses.dataclass(frozen=True, slots=True)
class Item:
    """One thing that wants attention."""

    severity: str  #: ``critical``, ``warning`` or ``note``
    subject: str  #: what it is about
    path: str  #: where that is shown
    title: str  #: goes on from the subject
    text: str
    steps: tuple[Step, ...] = ()


def look(flow: figures.Flow, depth: figures.Depth, letters: figures.Letters) -> list[Item]:
    """All of it, the worst first."""
    here, failing = road.current(), list(_failing(flow))
    found = [
        *_clocks(here.operations.figures.clocks()),
        *failing,
        *_paused(depth),
        *_full(depth, here.settings.window),
        *_waiting(depth),
        *_letters(letters, flow.now, {item.subject for item in failing}),
        *_clock_changes(here.operations.figures.zones(), flow.now),
    ]
    if here.publisher.up is False:
        found.append(
            Item("critical", "The broker", "/console/workers", "is not reachable from here",
                 "Accepting goes on: events are kept in the ledger, and go out when it is back.")
        )  # fmt: skip
    return sorted(found, key=lambda item: ("critical", "warning", "note").index(item.severity))


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


def _failing(flow: figures.Flow) -> Iterator[Item]:
    recent = range(-LOOK_BACK - 1, 0)
    for name in sorted(flow.types()):
        failed, done = flow.series("retry", "dead", type=name), flow.series("done", type=name)
        bad, good = sum(failed[n] for n in recent), sum(done[n] for n in recent)
        if bad < FAILED or bad < FAILING * (bad + good):
            continue
        since = next(m for m, n in zip(flow.minutes, failed, strict=True) if n)
        yield Item(
            "critical", name, f"/console/events?type={name}",
            f"fails: {words.percent(bad / (bad + good))} of its attempts in the last {LOOK_BACK} minutes",
            f"{words.many(bad, 'attempt')} failed, {good:,} succeeded; the first in this hour failed at"
            f" {words.clock(since, 'minutes')}. Other types are not slowed down.",
            (Step("Dead letters", f"/console/dead?type={name}"),
             Step("Pause…", f"/console/types/{name}/pause?back=/console", ask=True)),
        )  # fmt: skip


def _paused(depth: figures.Depth) -> Iterator[Item]:
    for kind, told, rows in (("type", depth.of_type, depth.types), ("queue", depth.of_queue, depth.queues)):
        for name, row in rows.items():
            if row["paused_at"] is None:
                continue
            waiting = sum(lane.due for lane in told(name))
            path = f"/console/events?type={name}&state=pending" if kind == "type" else "/console/types#queues"
            yield Item(
                "warning", name, path,
                f"is paused, {words.many(waiting, 'event')} {'waits' if waiting == 1 else 'wait'}",
                f"The {kind} was paused by {row['paused_by'] or 'someone unknown'} at {words.clock(row['paused_at'])}"
                f"{': ' + row['paused_because'] if row['paused_because'] else ''}.",
                (Step("Resume", f"/console/{kind}s/{name}/resume", True),),
            )  # fmt: skip


def _full(depth: figures.Depth, window: int) -> Iterator[Item]:
    for name, row in depth.types.items():
        held = sum(lane.due for lane in depth.of_type(name))
        if row["out_events"] >= window and held and row["paused_at"] is None:
            yield Item(
                "warning", name, f"/console/events?type={name}&state=pending",
                f"fills its window, {words.many(held, 'event')} held back",
                f"{row['out_events']:,} of {window:,} are with the broker. They go on as those are worked; the other"
                " types are not slowed down.",
                (Step("See type", "/console/types"),),
            )  # fmt: skip


def _waiting(depth: figures.Depth) -> Iterator[Item]:
    for lane in depth.lanes:
        paused = lane.queue in depth.queues or (depth.types.get(lane.type) or {}).get("paused_at")
        if paused:
            continue
        if lane.due and (lane.due_for or 0) > OLD:
            yield Item(
                "critical", lane.type, f"/console/events?type={lane.type}&state=pending",
                f"has been due for {words.span(lane.due_for)} and was not published",
                f"{words.many(lane.due, 'event')} for the queue {lane.queue}. Is a clock alive?",
                (Step("See clocks", "/console/workers"),),
            )  # fmt: skip
        elif (lane.out_for or 0) > OLD:
            yield Item(
                "warning", lane.type, f"/console/events?type={lane.type}&state=pending",
                f"waits: the first was published {words.span(lane.out_for)} ago",
                f"{words.many(lane.out, 'event')} in the queue {lane.queue}. Does a worker take this queue?",
                (Step("See workers", "/console/workers"),),
            )  # fmt: skip


def _letters(letters: figures.Letters, now: datetime.datetime, told: set[str]) -> Iterator[Item]:
    new = [group for group in letters.groups if group.first >= now - NEW and group.type not in told]
    for group in new[:3]:
        yield Item(
            "warning", group.type, f"/console/dead?type={group.type}&reason={group.reason}",
            f"has {words.many(group.count, 'dead letter')}, {words.reason(group.reason)}",
            f"{group.error}: {group.message}" if group.error else group.message,
            (Step("See one", f"/console/events/{group.example}"),),
        )  # fmt: skip
    if letters.strays:
        yield Item(
            "note", "The queue dead", "/console/strays",
            f"held {words.many(letters.strays, 'message')} that {'is' if letters.strays == 1 else 'are'} not ours",
            "They name no event; bytes and headers were kept.",
        )  # fmt: skip


def _clocks(clocks: Iterable[dict[str, object]]) -> Iterator[Item]:
    known = list(clocks)
    silent = [one for one in known if float(str(one["silent"])) > SILENT]
    if len(silent) == len(known):
        yield Item(
            "critical", "No clock", "/console/workers", "is alive",
            "Accepting and working go on; retries, delayed events and schedules wait. Start one:"
            " celery -A schedules beat",
        )  # fmt: skip
        return
    gone = [one for one in silent if float(str(one["silent"])) < FORGOTTEN]
    if gone:
        named = ", ".join(str(one["name"]) for one in gone[:3])
        yield Item(
            "note", words.many(len(gone), "clock"), "/console/workers",
            f"{'has' if len(gone) == 1 else 'have'} fallen silent",
            f"{named}{' and others' if len(gone) > 3 else ''}. The other clocks do the work.",
        )  # fmt: skip


def _clock_changes(found: Iterable[dict[str, object]], now: datetime.datetime) -> Iterator[Item]:
    begin = now.replace(tzinfo=None)
    for row in found:
        try:
            changes = zones.changes(zones.get(row["tz"] or "UTC"), begin, begin + AHEAD)
        except errors.DeclarationError:
            continue
        for change in changes:
            day = f"{change.begin:%A} {change.begin.day} {change.begin:%B}"
            yield Item(
                "note", f"{row['tz']}", "/console/schedules", f"{change.describe()} on {day}",
                f"{words.many(int(str(row['schedules'])), 'schedule')} of this zone, {row['example']} for one; the"
                " preview of each says what it does.",
                (Step("Preview", f"/console/schedules/{row['example']}"),),
            )  # fmt: skip
