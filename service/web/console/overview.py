"""The overview: is it well, and what wants a person."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any

import flask

from service.domain import figures, handlers, objective
from service.domain.access import Permission
from service.domain.processes import Kind
from service.ledger import spent
from service.web import access, gate, road
from service.web.console import attention, charts, first_run, page, words

COMING = 6  #: slots that are shown
LABELS = 5  #: instants under a chart


@dataclasses.dataclass(frozen=True, slots=True)
class Budget:
    """What is left of a type's error budget."""

    type: str
    what: str  #: that was promised
    left: float  #: share of the budget; below 0: more was spent than there is
    kept: float  #: share of events of which it was kept
    promised: float
    counted: str  #: of how many that is the share

    @property
    def tone(self) -> str:
        """How it looks."""
        return "good" if self.left > 0.5 else "warn" if self.left > 0 else "bad"


@page.pages.get("")
@access.needs(Permission.READ)
def overview() -> flask.Response:
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
    here = road.current()
    look = here.operations.figures
    flow, depth, letters = look.flow(), look.depth(), look.letters()
    items = attention.look(flow, depth, letters)
    told = here.operations.spent.read()
    return {
        "flow": flow,
        "depth": depth,
        "letters": letters,
        "items": items,
        "hands": hands(here.operations.processes.list(Kind.WORKER)),
        "sentence": attention.sentence(flow, depth, items),
        "chart": chart(flow, here.operations.processes.deploys(seconds=3600.0)),
        "age": age(flow),
        "budgets": budgets(here.registry, told),
        "spent": told,
        "queues": queues(depth),
        "coming": look.coming(COMING),
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


def budgets(registry: handlers.Registry, told: spent.Spent) -> list[Budget]:
    """The error budgets of the types whose handlers declare an objective, by thirty days: of success, and of starts."""
    found = []
    for handler in registry:
        if (promise := handler.objective) is None:
            continue
        each = ("done", "retry", "snoozed", "dead", "expired", objective.LATE)
        done, retry, snoozed, dead, expired, late = (told.counts.get((handler.type, word), 0) for word in each)
        ended, begun = done + dead + expired, done + retry + snoozed + dead
        start = f"starts within {promise.seconds:g} s"
        counted = f"{words.many(ended, 'event')} ended"
        found.append(_budget(handler.type, "succeeds", done, ended, promise.success, counted))
        found.append(_budget(handler.type, start, begun - late, begun, promise.p, words.many(begun, "start")))
    return sorted(found, key=lambda budget: budget.left)


def _budget(type_name: str, what: str, good: int, of: int, promised: float, counted: str) -> Budget:
    kept = good / of if of else 1.0
    return Budget(type_name, what, 1 - (1 - kept) / (1 - promised), kept, promised, counted)


def hands(workers: list[dict[str, Any]]) -> dict[str, int]:
    """Of the workers that live: how many they are, their places, and how many of those are busy."""
    living = [one for one in workers if one["alive"]]
    busy = sum(len(one["holding"]) for one in living)
    return {"workers": len(living), "places": sum(one["slots"] or 0 for one in living), "busy": busy}


def queues(depth: figures.Depth) -> list[dict[str, Any]]:
    """Each queue with what is open in it: the known ones, and those that lanes name."""
    here = road.current()
    names = {"events", "periodic"} | here.registry.queues() | {lane.queue for lane in depth.lanes}
    found = []
    for name in names:
        lanes = depth.of_queue(name)
        out_for = max((lane.out_for or 0 for lane in lanes if lane.out), default=None)
        found.append(
            {
                "name": name,
                "out": sum(lane.out for lane in lanes),
                "out_tickets": sum(lane.out_tickets for lane in lanes),
                "due": sum(lane.due for lane in lanes),
                "later": sum(lane.later for lane in lanes),
                "exact": all(lane.exact for lane in lanes),
                "oldest": out_for,
                "paused": depth.queues.get(name),
            }
        )
    return sorted(found, key=lambda row: (-(row["out"] + row["due"]), row["name"]))
