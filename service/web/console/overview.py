"""The overview: is it well, and what wants a person."""

from __future__ import annotations

import datetime
from typing import Any

import flask

from service.domain import figures
from service.domain.access import Permission
from service.web import access, gate, overview, road
from service.web.console import attention, charts, first_run, page, words

LABELS = 5  #: instants under a chart


@page.pages.get("")
@access.needs(Permission.READ)
def show() -> flask.Response:
    """The page; the one for newcomers while there is no event."""
    with gate.reads():
        if not road.current().operations.figures.has_events():
            return first_run.show()
        return page.render("overview.html", **_values())


@page.pages.get("/live/overview")
@access.needs(Permission.READ)
def live_overview() -> flask.Response:
    """Its parts, as they are by now."""
    with gate.reads():
        return page.fragment("overview_live.html", **_values())


def _values() -> dict[str, Any]:
    found = overview.look(words.clock)
    looked, flow = found.looked, found.looked.flow
    return {
        "flow": flow,
        "depth": looked.depth,
        "letters": looked.letters,
        "items": [attention.shown(item) for item in found.items],
        "hands": found.hands,
        "sentence": found.sentence,
        "chart": chart(flow, road.current().operations.processes.deploys(seconds=3600.0)),
        "age": age(flow),
        "budgets": found.budgets,
        "spent_since": looked.spent_since,
        "spent_complete": looked.spent_complete,
        "queues": found.queues,
        "coming": looked.coming,
        "sparks": {word: flow.series(word)[:-1] for word in ("accepted", "done", "retry", "dead")},
    }


def chart(flow: figures.Flow, deploys: list[dict[str, Any]]) -> dict[str, Any]:
    """The chart of the hour; the minute that runs is left out, for it would look like a fall. Deploys are marks."""
    accepted = [n / 60 for n in flow.series("accepted")[:-1]]
    worked = [n / 60 for n in flow.series("done")[:-1]]
    dead = flow.series("dead")[:-1]
    scale = charts.scale(max(accepted + worked))
    minutes = flow.minutes[:-1]
    step = (len(minutes) - 1) / (LABELS - 1)
    return {
        "scale": scale,
        "accepted": charts.line(accepted, scale.top),
        "worked": charts.line(worked, scale.top),
        "dead": charts.bars(dead),
        "labels": [words.clock(minutes[round(step * n)], "minutes") for n in range(LABELS - 1)],
        "rows": list(zip(minutes, accepted, worked, dead, strict=True))[::-1],
        "data": {
            "t": [int(m.timestamp()) for m in minutes],
            "accepted": accepted,
            "worked": worked,
            "dead": dead,
            "deploys": [int(deploy["at"].timestamp()) for deploy in deploys],
        },
        "told": _told(accepted, worked, dead, minutes),
        "marks": [mark for deploy in deploys if (mark := _mark(deploy, minutes)) is not None],
    }


def age(flow: figures.Flow) -> dict[str, Any]:
    """The chart of how old tickets were when their turn came, in the queue where that was worst, by the minute."""
    waited, minutes = flow.waited()[:-1], flow.minutes[:-1]
    seconds = [max(0.0, found[0]) for found in waited]
    peak = max(range(len(seconds)), key=seconds.__getitem__)
    told = "Whatever was worked in this hour had been with the broker for less than a minute."
    if seconds[peak] > 0:
        when, queue = words.clock(minutes[peak], "minutes"), waited[peak][1]
        told = f"Worst at {when}: {words.span(seconds[peak])}, in the queue {queue}."
    scale = charts.scale(max(seconds[peak], 60.0))
    return {
        "scale": scale,
        "line": charts.line(seconds, scale.top),
        "labels": [words.clock(minutes[n], "minutes") for n in (0, len(minutes) // 2)],
        "told": told,
        "rows": [
            (minute, at_least, queue)
            for minute, at_least, (_, queue) in zip(minutes, seconds, waited, strict=True)
            if at_least
        ][::-1],
    }


def _mark(deploy: dict[str, Any], minutes: tuple[datetime.datetime, ...]) -> dict[str, Any] | None:
    """Where a deploy stands in the chart; None beside it."""
    share = (deploy["at"] - minutes[0]) / (minutes[-1] - minutes[0])
    if not 0 <= share <= 1:
        return None
    return {"x": round(share * charts.WIDE[0], 1), "at": deploy["at"], "told": f"{deploy['kind']} {deploy['version']}"}


def _told(accepted: list[float], worked: list[float], dead: list[int], minutes: tuple[datetime.datetime, ...]) -> str:
    """The chart in words."""
    peak = max(range(len(accepted)), key=accepted.__getitem__)
    parts = [f"Last minute: {words.rate(accepted[-1])} accepted and {words.rate(worked[-1])} worked per second."]
    if accepted[peak] > 0:
        parts.append(f"Most were accepted at {words.clock(minutes[peak], 'minutes')}: {words.rate(accepted[peak])}.")
    parts.append(f"{words.many(sum(dead), 'dead letter')} in the hour.")
    return " ".join(parts)
