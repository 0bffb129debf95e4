"""``GET /v1/overview``: is it well, and what wants a person. The first page of the console is drawn from the same."""

from __future__ import annotations

import datetime
from typing import Any

import flask

from service.application import attention, overview
from service.application.attention import What
from service.domain.access import Permission
from service.web import access, answer, gate, road, search
from service.web.processes import Nothing

pages = flask.Blueprint("overview", __name__, url_prefix="/v1")

COMING = 6  #: slots that are shown

#: What wants attention → where the rows are that it counts.
PLACES = {
    What.NO_CLOCK: "clocks",
    What.CLOCK_SILENT: "clocks",
    What.BROKER_AWAY: "processes",
    What.FAILING: "dead?type={subject}",
    What.TYPE_PAUSED: "pauses",
    What.QUEUE_PAUSED: "pauses",
    What.WINDOW_FULL: "events?type={subject}&state=pending",
    What.NOT_PUBLISHED: "clocks",
    What.NOT_TAKEN: "queues",
    What.DEAD_LETTERS: "dead?type={subject}&reason={reason}",
    What.STRAYS: "strays",
    What.CLOCK_CHANGE: "schedules/{example}/preview",
}


@pages.get("/overview")
@access.needs(Permission.READ)
def show_overview() -> answer.Json:
    """How it is: throughput, what waits by queue and type and since when, error budgets, and what wants attention."""
    search.read(flask.request.args, Nothing)
    return answer.Json(document(look(in_utc)))


def look(clock: attention.Clock) -> overview.Overview:
    """The figures; what is asked for by many at once is asked of the ledger once a second. Raises LedgerUnavailable,
    Overloaded, SearchTooSlow.
    """
    here = road.current()
    figures = here.operations.figures
    with gate.reads():
        spent = here.operations.spent.read()
        looked = overview.Looked(
            flow=figures.flow(),
            depth=figures.depth(),
            letters=figures.letters(),
            processes=here.operations.processes.list(),
            clocks=figures.clocks(),
            tzs=figures.zones(),
            spent=spent.counts,
            spent_since=spent.since,
            spent_complete=spent.complete,
            coming=figures.coming(COMING),
            broker=here.publisher.up,
        )
    return overview.make(looked, here.registry, window=here.settings.window, clock=clock)


def document(found: overview.Overview) -> dict[str, Any]:
    """The figures as they are answered."""
    looked = found.looked
    flow, depth, letters = looked.flow, looked.depth, looked.letters
    rates: dict[str, Any] = {
        word: {"per_second": flow.rate(word), "last_hour": flow.total(word)} for word in overview.WORDS
    }
    return {
        "at": flow.now,
        "sentence": found.sentence,
        "attention": [_item(item) for item in found.items],
        "flow": rates | {"minutes": _minutes(found)},
        "open": {
            "events": depth.open,
            "due": sum(lane.due for lane in depth.lanes),
            "later": sum(lane.later for lane in depth.lanes),
            "out": sum(lane.out for lane in depth.lanes),
            "out_tickets": sum(lane.out_tickets for lane in depth.lanes),
            "due_for": max((queue.due_for for queue in found.queues if queue.due_for is not None), default=None),
            "out_for": max((queue.out_for for queue in found.queues if queue.out_for is not None), default=None),
            "exact": depth.exact,
        },
        "queues": found.queues,
        "types": found.types,
        "dead": {"open": letters.open, "exact": letters.exact, "strays": letters.strays},
        "budgets": {
            "since": looked.spent_since,
            "complete": looked.spent_complete,
            "budgets": [
                {name: getattr(one, name) for name in ("type", "what", "left", "kept", "promised", "counted")}
                for one in found.budgets
            ],
        },
        "processes": found.hands,
        "broker": looked.broker,
        "coming": [
            {"schedule": one["name"], "type": one["type"], "slot": one["slot"], "next_due": one["next_due"]}
            for one in looked.coming
        ],
    }


def in_utc(moment: datetime.datetime, digits: str) -> str:
    """An instant in a sentence for who has no time zone here."""
    shown = "%Y-%m-%d %H:%M" if digits == "minutes" else "%Y-%m-%d %H:%M:%S"
    return f"{moment.astimezone(datetime.UTC).strftime(shown)} UTC"


def _minutes(found: overview.Overview) -> list[dict[str, Any]]:
    """The minutes of the last hour; the one that runs is left out, for it would look like a fall."""
    flow = found.looked.flow
    columns = [flow.series(word) for word in overview.WORDS]
    rows = list(zip(flow.minutes, *columns, flow.waited(), strict=True))[:-1]
    return [
        {"minute": minute, **dict(zip(overview.WORDS, counts, strict=True)), "waited": waited[0], "queue": waited[1]}
        for minute, *counts, waited in rows
    ]


def _item(item: attention.Item) -> dict[str, Any]:
    return {
        "severity": item.severity,
        "what": item.what,
        "subject": item.subject,
        "title": item.title,
        "text": item.text,
        "facts": item.facts,
        "links": {"look": f"{flask.request.environ.get('SCRIPT_NAME', '')}/v1/{item.place(PLACES[item.what])}"},
    }
