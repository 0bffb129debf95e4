"""What happened to an event, step by step, from its row, its ticket and its failed attempts."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any

from service.domain import explain, handlers, states
from service.web.console import words


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """A step, or with ``gap`` the time between two of them."""

    at: datetime.datetime | None
    icon: str
    tone: str  #: ``good``, ``failed`` or ``next``
    what: str
    more: str = ""
    gap: str | None = None  #: its length


@dataclasses.dataclass(frozen=True, slots=True)
class Box:
    """A part of the picture: where it begins and how wide it is, in percent."""

    kind: str
    x: float
    width: float


def steps(event: dict[str, Any], ticket: dict[str, Any], handler: handlers.Handler | None) -> list[Step]:
    """All of them, in the order of time."""
    found = [_accepted(event)]
    before = event["accepted_at"]
    for attempt in event["attempts"]:
        waited = (attempt["started_at"] - before).total_seconds()
        label = "waited" if before is event["accepted_at"] else "back-off, and waiting for a worker"
        if waited >= 0.5:
            found.append(Step(None, "i-retrying", "next", label, gap=words.span(waited)))
        length = words.between(attempt["started_at"], attempt["finished_at"])
        found.append(
            Step(
                attempt["started_at"],
                "i-dead",
                "failed",
                f"Attempt {attempt['number']} failed after {length}",
                f"{attempt['error']}: {attempt['message']} · {attempt['worker']}",
            )
        )
        before = attempt["finished_at"]
    if event["state"] == "pending":
        return [*found, *_pending(event, ticket, handler)]
    return [*found, *_ended(event, ticket)]


def _accepted(event: dict[str, Any]) -> Step:
    if event["replay_of"]:
        what = f"Accepted as the replay of {words.short(event['replay_of'])}"
    elif event["schedule"]:
        what = f"Made by the schedule {event['schedule']}, for {words.clock(event['slot_at'])}"
    else:
        what = f"Accepted over HTTP: POST /v1/events/{event['type']}"
    told = [f"producer {event['producer']}"] if event["producer"] else []
    told += [f"request {event['request_id']}"] if event["request_id"] else []
    told.append("written to the ledger with its ticket, in one commit")
    return Step(event["accepted_at"], "i-door", "good", what, " · ".join(told))


def _pending(event: dict[str, Any], ticket: dict[str, Any], handler: handlers.Handler | None) -> list[Step]:
    found = []
    if ticket["id"] and ticket.get("published_at"):
        others = ticket["events"] - 1
        more = f"key {ticket['routing_key']} · queue {ticket['queue']}"
        more += f" · with {words.many(others, 'other event')} on one ticket" if others else ""
        what = f"Published to {ticket['exchange']}, confirmed"
        found.append(Step(ticket["published_at"], "i-publish", "good", what, more))
        return [*found, Step(None, "i-queued", "next", "Waits for a worker", gap="now")]
    if event["run_at"] is not None:
        left = "" if handler is None else f"of at most {handler.attempts}"
        what = f"Attempt {event['attempt'] + 1} {left} is due".replace("  ", " ")
        return [Step(event["run_at"], "i-scheduled", "next", what)]
    return [Step(None, "i-queued", "next", f"Waits: {event['reason']}", gap="now")]


def _ended(event: dict[str, Any], ticket: dict[str, Any]) -> list[Step]:
    state, at = event["state"], event["finished_at"]
    if state == "running":
        lease = ticket.get("lease_until")
        more = f"its lease is renewed until {words.clock(lease)}" if lease else ""
        return [Step(None, "i-running", "next", f"Attempt {event['attempt']} runs", more, gap="now")]
    if state == "succeeded":
        length = words.between(event["accepted_at"], at) if at else ""
        what = f"Succeeded in attempt {event['attempt']}" if event["attempt"] > 1 else "Succeeded"
        return [Step(at, "i-succeeded", "good", what, f"effect and outcome in one commit · {length} since accepted")]
    if state == "dead":
        found = [Step(at, "i-dead", "failed", f"Became a dead letter: {words.reason(event['reason'])}")]
        if event["discarded_at"]:
            found.append(Step(event["discarded_at"], "i-yes", "next", "Discarded: nothing more was to come of it"))
        if event["replayed_as"]:
            found.append(
                Step(None, "i-retrying", "good", f"Replayed as {words.short(event['replayed_as'])}", gap="later")
            )
        return found
    return [
        Step(at, f"i-{state}", "next", {"cancelled": "Cancelled", "expired": "Expired before it was worked"}[state])
    ]


def picture(event: dict[str, Any]) -> dict[str, Any] | None:
    """Where the time went, as boxes on a line; None for an event without a failed attempt."""
    if not event["attempts"]:
        return None
    begin = event["accepted_at"]
    moments = [attempt["finished_at"] for attempt in event["attempts"]]
    planned = event["run_at"] if event["state"] == "pending" else None
    now = words.now() if event["state"] in ("pending", "running") else None
    end = max(m for m in (*moments, planned, event["finished_at"], now) if m is not None)
    whole = max((end - begin).total_seconds(), 0.001)

    def place(moment: datetime.datetime) -> float:
        return float(round(100 * (moment - begin).total_seconds() / whole, 2))

    boxes, before = [], 0.0
    for attempt in event["attempts"]:
        start, stop = place(attempt["started_at"]), place(attempt["finished_at"])
        boxes.append(Box("rest", before, max(start - before, 0)))
        boxes.append(Box("try", min(start, 99.2), max(stop - start, 0.8)))
        before = max(stop, start)
    if planned is not None and place(planned) > before:
        boxes.append(Box("rest", before, place(planned) - before))
        boxes.append(Box("plan", min(place(planned), 99.2), 0.8))
    worked = sum((a["finished_at"] - a["started_at"]).total_seconds() for a in event["attempts"])
    told = f"{words.many(len(event['attempts']), 'failed attempt')} in {words.span(whole)}"
    return {
        "boxes": boxes,
        "now": place(now) if now else None,
        "begin": begin,
        "end": end,
        "told": told,
        "whole": words.span(whole),
        "worked": words.span(worked),
    }


def checks(record: explain.Record, broker: bool | None, window: int) -> list[tuple[bool, str, str]]:
    """What a pending event needs to be run: whether it is so, an icon, and the words."""
    if record.state is not states.State.PENDING or record.queue is None:
        return []
    due = record.run_at is None or record.run_at <= record.now
    found = [(due, "i-scheduled", "It is due" if due else f"Due at {words.clock(record.run_at or record.now)}")]
    for kind, at, by, because in explain.pauses(record):
        said = f"The {kind} is not paused"
        if at is not None:
            said = f"The {kind} is paused since {words.clock(at)}, by {by or 'someone unknown'}"
            said += f": {because}" if because else ""
        found.append((at is None, "i-paused", said))
    room = record.out_events < window
    found.append(
        (room, "i-held", f"Its window has {'room' if room else 'no room'}: {record.out_events:,} of {window:,}")
    )
    taken = f"{words.many(record.knowing, 'live worker')} with its handler take the queue {record.queue}"
    found.append(
        (
            record.knowing > 0,
            "i-workers",
            taken.replace("worker with its handler take", "worker with its handler takes"),
        )
    )
    if broker is not None:
        found.append((broker, "i-publish", f"The broker is {'reachable' if broker else 'not reachable'} from here"))
    found.append((record.clocks > 0, "i-scheduled", f"{words.many(record.clocks, 'clock')} alive"))
    if record.ahead_tickets:
        more = "more than " if record.ahead_is_more else ""
        found.append((True, "i-queued", f"{more}{words.many(record.ahead_events, 'event')} ahead of it"))
    return found
