"""The calls of the API, each as steps (``service.client.core``)."""

from __future__ import annotations

import dataclasses
import datetime
import math
import re
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypedDict
from urllib.parse import quote

from service.client import core, errors
from service.client.documents import Event, Item, NewEvent, Page, encode, instant

LONGEST_WAIT = 30  #: seconds for which Millrace keeps back an answer at most
LONGEST_ACT = 60  #: seconds for which an act on many may keep its answer back; a replay answers after 20
POLL = (0.1, 2.0)  #: seconds between looks at an event: first, longest
GLANCE = 1.0  #: seconds that each of them may take at least, however little time is left
#: Events and bytes in one request of many; proxies commonly let a megabyte pass.
PART = (1_000, 768 * 1024)
JSON = {"Content-Type": "application/json"}
NDJSON = {"Content-Type": "application/x-ndjson"}
HEADER = re.compile(r"[ -~]*")  #: what a key in a header may hold (RFC 8941, section 3.3.3)
TOO_LARGE = 413  #: the status of what is too large, whoever says it: Millrace, or a proxy before it


class Filters(TypedDict, total=False):
    """Which events to list; all of it applies."""

    type: str | None
    state: str | None
    producer: str | None
    since: datetime.datetime | None  #: accepted at this instant or later
    until: datetime.datetime | None  #: accepted before it
    text: str | None  #: somewhere in the payload; wants ``type`` and ``since``


class Letters(TypedDict, total=False):
    """Which dead letters an act on many is meant for: all of it applies. ``all`` alone: of whatever type and time.

    ``until`` as ``counted_at`` of a dry run, in the place of ``all``: those that were counted, and no later ones.
    """

    type: str | None
    reason: str | None
    since: datetime.datetime | None  #: died at this instant or later
    until: datetime.datetime | str | None  #: died before it
    all: bool
    limit: int  #: at most so many, the oldest first; else 1,000 are replayed, 10,000 discarded. No more than 100,000


def new_key() -> str:
    """A key that nobody else has."""
    return str(uuid.uuid4())


def submit(new: NewEvent, wait: float, limits: core.Limits) -> core.Steps[Event]:
    """Post one event; its state after up to ``wait`` seconds, or as it was accepted where that cannot be asked.

    Raises ValueError for a key that no header can carry.
    """
    key = new.key or new_key()
    if not HEADER.fullmatch(key):
        raise ValueError(f"key {key!r}: ASCII is wanted in a header; in a batch or a spool any printable text will do")
    quoted = key.replace("\\", "\\\\").replace('"', '\\"')
    headers = JSON | {"Idempotency-Key": f'"{quoted}"'}
    if new.traceparent is not None:
        headers["traceparent"] = new.traceparent
    held = min(LONGEST_WAIT, math.ceil(wait)) if wait > 0 else 0
    if held:
        headers["Prefer"] = f"wait={held}"
    path = f"/v1/events/{quote(new.type, safe='')}"
    request = core.Request("POST", path, new.times(), encode(new.payload), headers, waits=held)
    begin = time.monotonic()
    found = Event.of((yield from core.exchange(request, limits)).document)
    if found.ended or not wait:
        return found
    try:
        return (yield from follow(found.id, wait - (time.monotonic() - begin), limits))
    except errors.ClientError:
        return found  # It is stored, whatever becomes of the looks: to raise would have it sent again, as another one.


def get(event_id: str, limits: core.Limits, end: float | None = None) -> core.Steps[Event]:
    """An event with all that is known of it."""
    return Event.of((yield from core.exchange(core.Request("GET", _event(event_id)), limits, end)).document)


def follow(event_id: str, within: float, limits: core.Limits) -> core.Steps[Event]:
    """Look at an event until it has ended; raises NotEnded after ``within`` seconds, and Unreachable about then."""
    end, (wait, longest) = time.monotonic() + within, POLL
    while True:
        now = time.monotonic()
        found = yield from get(event_id, limits, min(max(end, now + GLANCE), now + limits.deadline))
        if found.ended:
            return found
        if (left := end - time.monotonic()) <= 0:
            raise errors.NotEnded(event_id, found.state, within)
        yield core.Sleep(min(wait, left))
        wait = min(longest, wait * 1.5)


def batch(events: Iterable[NewEvent], limits: core.Limits) -> core.Steps[list[Item]]:
    """Post many events; what became of each, in order. Items that could not be stored yet are sent again."""
    todo = [new if new.key else dataclasses.replace(new, key=new_key()) for new in events]
    items: list[Item] = []
    down: errors.ClientError | None = None
    for part in parts(todo):
        if down is not None:  # Nothing else is to be expected for the rest.
            items += [Item(new, problem=down) for new in part]
            continue
        found = yield from _store([(new, new.line()) for new in part], limits)
        items += found
        down = next((i.problem for i in found if _is_hopeless(i)), None)
    return items


def _is_hopeless(item: Item) -> bool:
    """Whether whatever comes next will fare no better. A key may post some types, and not others."""
    if isinstance(item.problem, errors.NotAllowed):
        return not item.judged
    return isinstance(item.problem, errors.Unreachable | errors.Unavailable | errors.Unsendable)


def parts(events: Sequence[NewEvent]) -> Iterator[list[NewEvent]]:
    """The events in requests of a good size."""
    most, room = PART
    part: list[NewEvent] = []
    size = 0
    for new in events:
        length = len(new.line()) + 1
        if part and (len(part) >= most or size + length > room):
            yield part
            part, size = [], 0
        part.append(new)
        size += length
    if part:
        yield part


def _store(part: list[tuple[NewEvent, bytes]], limits: core.Limits, end: float | None = None) -> core.Steps[list[Item]]:
    end, tries = time.monotonic() + limits.deadline if end is None else end, 0
    found: dict[int, Item] = {}
    left = list(range(len(part)))
    while left:
        body = b"\n".join(part[i][1] for i in left)
        try:
            answer = yield from core.exchange(core.Request("POST", "/v1/events", {}, body, NDJSON), limits, end)
            told = _items(answer, len(left))
        except errors.ClientError as error:
            if isinstance(error, errors.Invalid) and error.status == TOO_LARGE and len(left) > 1:
                # One that is too large keeps no other away; and a proxy may let less pass than we thought.
                for half in (left[: len(left) // 2], left[len(left) // 2 :]):
                    items = yield from _store([part[i] for i in half], limits, end)
                    found |= dict(zip(half, items, strict=True))
            else:
                found |= {i: Item(part[i][0], problem=error) for i in left}
            break
        again = []
        for index, one in zip(left, told, strict=True):
            new = part[index][0]
            if "id" in one:
                found[index] = Item(new, id=str(one["id"]))
            else:
                problem = errors.of(one.get("status", 500), one.get("problem"), retry_after=answer.retry_after)
                found[index] = Item(new, problem=problem, judged=True)
                again += [index] if isinstance(problem, errors.Unavailable) else []
        wait = core.pause(tries, answer.retry_after)
        if not again or time.monotonic() + wait >= end:
            break
        yield core.Sleep(wait)
        left, tries = again, tries + 1
    return [found[i] for i in range(len(part))]


def _items(answer: core.Answer, number: int) -> list[dict[str, Any]]:
    document = answer.document
    found = document.get("items") if isinstance(document, dict) else None
    if not isinstance(found, list) or len(found) != number:
        raise errors.ServerFault(
            answer.status, {"detail": "the answer does not tell of each event: is this a Millrace?"}
        )
    return found


def cancel(event_id: str, because: str | None, limits: core.Limits) -> core.Steps[str]:
    """Withdraw an event; its state: ``cancelled``, or ``running`` and asked to stop."""
    try:
        answer = yield from core.exchange(_act(event_id, "cancel", because), limits)
    except errors.Conflict as error:
        # An attempt whose answer was lost has done it.
        if error.unsure and error.document.get("state") == "cancelled":
            return "cancelled"
        raise
    return str(answer.document["state"])


def replay(event_id: str, payload: dict[str, Any] | None, because: str | None, limits: core.Limits) -> core.Steps[str]:
    """Work a dead letter again; the id of the new event. ``payload``: the body, if another payload is wanted."""
    try:
        answer = yield from core.exchange(_act(event_id, "replay", because, payload), limits)
    except errors.Conflict as error:
        if error.unsure and (found := error.document.get("replayed_as")):
            return str(found)
        raise
    return str(answer.document["id"])


def discard(event_id: str, because: str | None, limits: core.Limits) -> core.Steps[None]:
    """Have nothing more come of a dead letter."""
    try:
        yield from core.exchange(_act(event_id, "discard", because), limits)
    except errors.Conflict as error:
        if not (error.unsure and "discarded_by" in error.document):
            raise


def on_many(act: str, query: dict[str, Any], limits: core.Limits) -> core.Steps[dict[str, Any]]:
    """Replay or discard what a query finds; what came of it. Only a dry run is asked for twice."""
    again = bool(query.get("dry_run"))
    request = core.Request("POST", f"/v1/{act}", _shown(query), repeatable=again, waits=LONGEST_ACT)
    document: dict[str, Any] = (yield from core.exchange(request, limits)).document
    return document


def page(path: str, member: str, query: dict[str, Any], limits: core.Limits) -> core.Steps[Page]:
    """A page of a list whose rows stand under ``member``."""
    document = (yield from core.exchange(core.Request("GET", path, _shown(query)), limits)).document
    return Page(document[member], document.get("next_cursor"))


def _shown(query: dict[str, Any]) -> dict[str, Any]:
    return {n: instant(v) if isinstance(v, datetime.datetime) else v for n, v in query.items()}


def _act(event_id: str, act: str, because: str | None, document: dict[str, Any] | None = None) -> core.Request:
    body = None if document is None else encode(document)
    query = {} if because is None else {"because": because}
    return core.Request("POST", f"{_event(event_id)}/{act}", query, body, JSON if body else {})


def _event(event_id: str) -> str:
    return f"/v1/events/{quote(event_id, safe='')}"
