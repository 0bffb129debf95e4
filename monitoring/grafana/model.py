"""What a dashboard is made of. A panel says in words what it tells and what to do; nothing is drawn without them."""

from __future__ import annotations

import dataclasses
import enum

GREEN, YELLOW, ORANGE, RED, BLUE, PURPLE, GREY, TEAL = (
    "#56A64B", "#E0B400", "#FF780A", "#E02F44", "#3274D9", "#A352CC", "#8E8E8E", "#1F9E9E",
)  # fmt: skip

#: A colour means the same on every dashboard. Legends that are not here take the palette's next.
COLOURS = {
    "accepted": BLUE,
    "published": PURPLE,
    "confirmed": GREEN,
    "unconfirmed": ORANGE,
    "done": GREEN,
    "duplicate": TEAL,
    "conflict": YELLOW,
    "invalid": YELLOW,
    "unavailable": RED,
    "retry": ORANGE,
    "dead": RED,
    "snoozed": TEAL,
    "expired": PURPLE,
    "cancelled": GREY,
    "skipped": GREY,
    "worker_lost": RED,
    "time_limit": ORANGE,
    "rejected": PURPLE,
    "error": YELLOW,
    "202": BLUE,
    "2xx": BLUE,
    "4xx": YELLOW,
    "5xx": RED,
    "500": RED,
    "503": RED,
    "p50": GREEN,
    "p95": YELLOW,
    "p99": ORANGE,
    "due": BLUE,
    "out": TEAL,
    "overdue": RED,
}


class Kind(enum.StrEnum):
    """How a panel draws. The words are Grafana's."""

    GRAPH = "timeseries"
    STAT = "stat"
    TABLE = "table"
    HEAT = "heatmap"
    STATES = "state-timeline"


@dataclasses.dataclass(frozen=True, slots=True)
class Query:
    """One question to Prometheus."""

    expr: str  #: PromQL, with the variables of its dashboard
    legend: str = ""  #: a series' name, as ``{{label}}``; of a table's column, its head
    unit: str = ""  #: of this column of a table, where it is not the panel's


@dataclasses.dataclass(frozen=True, slots=True)
class Limit:
    """From this value on, this colour."""

    value: float
    colour: str


@dataclasses.dataclass(frozen=True, slots=True)
class Panel:
    """One picture."""

    title: str
    tells: str  #: what it shows, in full sentences
    act: str  #: when to look at it, and what to do then
    kind: Kind
    unit: str  #: Grafana's name of the unit
    queries: tuple[Query, ...]
    limits: tuple[Limit, ...] = ()  #: from low to high; why one has none: ``boards.unlimited``
    ground: str = GREEN  #: the colour below the first limit
    width: int = 8  #: of 24
    height: int = 8  #: rows of 30 pixels
    stacked: bool = False
    top: float | None = None  #: the axis reaches so far, and further where a value does
    words: tuple[tuple[str, str, str], ...] = ()  #: of states: value, word, colour
    decimals: int | None = None
    hidden: tuple[str, ...] = ()  #: labels that a table does not show
    quiet: str = ""  #: why there may be nothing to show, on a system that is well


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """Panels that answer one question together."""

    title: str
    panels: tuple[Panel, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Variable:
    """What is chosen above a dashboard."""

    name: str
    label: str
    series: str  #: whose label gives the values
    source: str  #: that label
    ours: bool = True  #: only our own metrics have it, so that *All* may stand for anything, and not for what was found

    @property
    def query(self) -> str:
        """The question that Grafana asks for the values."""
        return f"label_values({self.series}, {self.source})"


@dataclasses.dataclass(frozen=True, slots=True)
class Board:
    """A dashboard."""

    uid: str  #: stays, for it is in links and runbooks
    title: str
    about: str  #: the question it answers
    when: str  #: when to open it
    rows: tuple[Row, ...]
    variables: tuple[Variable, ...] = ()

    @property
    def panels(self) -> tuple[Panel, ...]:
        """All of them, as they are read."""
        return tuple(panel for row in self.rows for panel in row.panels)


#: Also a job that has been down for longer than is looked at. The alerts take the same names for granted.
JOB = Variable("job", "Job", 'up{job=~"millrace-.+"}', "job", ours=False)
TYPE = Variable("type", "Event type", "millrace_events_finished_total", "type")
ROUTE = Variable("route", "Route", "millrace_http_request_duration_seconds_bucket", "route")
SCHEDULE = Variable("schedule", "Schedule", "millrace_slots_fired_total", "schedule")
VHOST = Variable("vhost", "Virtual host", "millrace_queue_info", "vhost", ours=False)
QUEUE = Variable("queue", "Queue", "millrace_queue_info", "queue", ours=False)
