"""Where the console leads to from what wants attention, and what can be done about it there."""

from __future__ import annotations

import dataclasses

from service.application.attention import Item, What


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """A way to go on from here."""

    label: str
    path: str
    post: bool = False  #: it does something, instead of showing something
    ask: bool = False  #: it leads to a form, for those who may act


@dataclasses.dataclass(frozen=True, slots=True)
class Shown:
    """One thing that wants attention, on a page."""

    item: Item
    path: str  #: where its subject is shown
    steps: tuple[Step, ...] = ()


WORKERS = "/console/workers"
PENDING = "/console/events?type={subject}&state=pending"

#: What wants attention → where its subject is shown, and the ways on.
WAYS: dict[What, tuple[str, tuple[Step, ...]]] = {
    What.NO_CLOCK: (WORKERS, ()),
    What.CLOCK_SILENT: (WORKERS, ()),
    What.BROKER_AWAY: (WORKERS, ()),
    What.FAILING: (
        "/console/events?type={subject}",
        (
            Step("Dead letters", "/console/dead?type={subject}"),
            Step("Pause…", "/console/types/{subject}/pause?back=/console", ask=True),
        ),
    ),
    What.TYPE_PAUSED: (PENDING, (Step("Resume", "/console/types/{subject}/resume", True),)),
    What.QUEUE_PAUSED: ("/console/types#queues", (Step("Resume", "/console/queues/{subject}/resume", True),)),
    What.WINDOW_FULL: (PENDING, (Step("See type", "/console/types"),)),
    What.NOT_PUBLISHED: (PENDING, (Step("See clocks", WORKERS),)),
    What.NOT_TAKEN: (PENDING, (Step("See workers", WORKERS),)),
    What.DEAD_LETTERS: (
        "/console/dead?type={subject}&reason={reason}",
        (Step("See one", "/console/events/{example}"),),
    ),
    What.STRAYS: ("/console/strays", ()),
    What.CLOCK_CHANGE: ("/console/schedules", (Step("Preview", "/console/schedules/{example}"),)),
}


def shown(item: Item) -> Shown:
    """An item with its ways on."""
    path, steps = WAYS[item.what]
    found = tuple(dataclasses.replace(step, path=item.place(step.path)) for step in steps)
    return Shown(item, item.place(path), found)
