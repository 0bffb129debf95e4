"""The catalogue: every metric of Millrace, in one table.

Metrics are made from it (``service.telemetry.metrics``), and so is ``docs/metrics.md``::

    python -m service.telemetry.catalogue > docs/metrics.md

Names begin with ``millrace_`` and carry their base unit; counters end in ``_total``. The values of
a label are a closed list, so that the number of series is known: an id is never a label, and a
value that is not on the list is counted as ``other``.
"""

from __future__ import annotations

import dataclasses
import enum
import http

from service.domain import faults, objective, outcome, slots, topology

#: What a tally may say: every outcome, and the event's acceptance before them.
WORDS = ("accepted", *(word.value for word in outcome.Word))
#: What a clock does again and again, each by its name in the log (``clock.<duty>``).
DUTIES = (
    "slots", "release", "returned", "clocks", "notes", "processes", "successes", "partitions", "windows", "paces",
    "tallies", "keys", "zones", "expiry", "lines", "retention",
    "watch_tickets", "watch_waiting", "watch_tallies", "watch_letters", "watch_balance", "watch_past", "canary",
)  # fmt: skip

#: Seconds for which a clock shows what it has seen: looks that are well are made more often (``schedules.looking``).
SHOWN = 180.0
SHOWN_SLOTS = 30.0

OTHER = "other"  #: the value of a label for all that is not on its list

ROLES = ("web", "worker", "clock")
WEB, WORKER, CLOCK, PUBLISHERS = ("web",), ("worker",), ("clock",), ("web", "clock")

#: Bounds of histograms, in seconds; the first ones of the others.
SHORT = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
#: A threshold that a promise or an alert speaks of must be a bound: 3 s is the deadline of accept.
FAST = (*SHORT, 3.0, 5.0, 10.0)
RUN = (*SHORT, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0)
WAIT = objective.STARTS
#: A slot is late by at most two seconds after the loss of a clock.
LATE = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 3600.0)


class Kind(enum.StrEnum):
    """What a metric is to Prometheus."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclasses.dataclass(frozen=True, slots=True)
class Label:
    """A label and what it may say."""

    name: str
    values: tuple[str, ...] = ()  #: the closed list; empty: the process knows it (see ``source``)
    source: str = ""  #: in words, where the list comes from that the process knows


@dataclasses.dataclass(frozen=True, slots=True)
class Metric:
    """A metric, as it is made and documented."""

    name: str
    kind: Kind
    help: str
    roles: tuple[str, ...]  #: the processes that have it
    labels: tuple[Label, ...] = ()
    buckets: tuple[float, ...] = ()  #: of a histogram, without +Inf
    shown: float = 0.0  #: of a gauge: seconds after which a value that was not seen again is NaN; 0: it stays
    goes_on: bool = False  #: of a counter: its series come with what was read first, not at 0 before it

    @property
    def label_names(self) -> tuple[str, ...]:
        """The names of its labels, in order."""
        return tuple(label.name for label in self.labels)


BUILD = tuple(Label(n, source="this process") for n in ("version", "python", "celery", "role"))
TYPE = Label("type", source="the event types that have a handler")
SCHEDULE = Label("schedule", source="the declared schedules; one made at run time is `other`")
METHOD = Label("method", source="the methods of the routes")
ROUTE = Label("route", source="the routes, as templates")
#: All that there are (RFC 9110, IANA's registry): what a view of an app makes up is `other`.
CODE = Label("code", tuple(str(code.value) for code in http.HTTPStatus if code >= http.HTTPStatus.OK))
QUEUE = Label("queue", source="`events`, `periodic`, and the queues that handlers name")
DUTY = Label("duty", DUTIES)
WORD = Label("word", WORDS)
SKIP_REASON = Label("reason", tuple(reason.value for reason in slots.Reason))
EXCHANGE = Label("exchange", (topology.EVENTS, topology.PERIODIC))
PEER = Label("peer", ("broker", "ledger", "issuer"))
CERTIFICATE = Label("of", ("broker", "ledger", "door"))
FAULT = Label("fault", tuple(fault.value for fault in faults.Fault))
VHOST = Label("vhost", source="the virtual host of MILLRACE_BROKER_URL")
REFUSAL = Label(
    "reason", ("not_signed_in", "bad_credential", "not_permitted", "too_many_failures", "too_many_requests")
)
OWNER = Label("owner", ("ours", "stray"))
REASON = Label("reason", topology.DEATHS)
ACCEPT_OUTCOME = Label("outcome", ("accepted", "duplicate", "conflict", "invalid", "unavailable"))
PUBLISH_OUTCOME = Label("outcome", ("confirmed", "unconfirmed", "unavailable"))
FINISH_OUTCOME = Label("outcome", tuple(word.value for word in outcome.Word))
DEAD_REASON = Label("reason", tuple(reason.value for reason in outcome.Reason))
LOSS = Label("reason", ("refused", "failed", "late"))
FAIL_OUTCOME = Label("outcome", ("worker_lost", "time_limit", "rejected", "error"))


def _counter(name: str, text: str, roles: tuple[str, ...], *labels: Label, goes_on: bool = False) -> Metric:
    return Metric(name, Kind.COUNTER, text, roles, labels, goes_on=goes_on)


def _gauge(name: str, text: str, roles: tuple[str, ...], *labels: Label, shown: float = 0.0) -> Metric:
    return Metric(name, Kind.GAUGE, text, roles, labels, shown=shown)


def _histogram(name: str, text: str, roles: tuple[str, ...], buckets: tuple[float, ...], *labels: Label) -> Metric:
    return Metric(name, Kind.HISTOGRAM, text, roles, labels, buckets)


CATALOGUE: tuple[Metric, ...] = (
    _gauge("millrace_build_info", "Always 1; what this process is, in its labels.", ROLES, *BUILD),
    _gauge(
        "millrace_connection_up",
        "Whether the last word from the peer was a good one: 1 or 0; NaN until there was one. The issuer of tokens is"
        " a web's alone.",
        ROLES,
        PEER,
    ),
    _counter(
        "millrace_ledger_faults_total",
        "What PostgreSQL refused, and connections to it that could not be had; also what was waited out, and what"
        " handlers made of themselves. A worker's children tell with their next report.",
        ROLES,
        FAULT,
    ),
    _counter(
        "millrace_access_refused_total",
        "Requests that were refused for who sent them: without a credential, with a bad one, without the permission; or"
        " too many of an address without a good one, or of one credential.",
        WEB,
        REFUSAL,
    ),
    _gauge(
        "millrace_queue_info",
        "Always 1; the work queues that this clock knows, and the virtual host that they are in.",
        CLOCK,
        VHOST,
        QUEUE,
    ),
    _counter("millrace_http_requests_total", "Answered HTTP requests.", WEB, METHOD, ROUTE, CODE),
    _histogram(
        "millrace_http_request_duration_seconds",
        "Time from a request's first line to its answer.",
        WEB,
        FAST,
        METHOD,
        ROUTE,
    ),
    _counter(
        "millrace_events_accepted_total",
        "Events that were asked to be accepted, by what came of it; `accepted` is durable.",
        WEB,
        TYPE,
        ACCEPT_OUTCOME,
    ),
    _counter(
        "millrace_tickets_published_total",
        "Tickets given to the broker. What is not `confirmed` stays due, and is published again.",
        PUBLISHERS,
        EXCHANGE,
        PUBLISH_OUTCOME,
    ),
    _histogram(
        "millrace_publish_duration_seconds",
        "Time from the first ticket of a batch to the last confirm, or to the failure.",
        PUBLISHERS,
        FAST,
    ),
    _counter(
        "millrace_tickets_started_total",
        "Tickets that a worker's child or thread has begun to work.",
        WORKER,
        TYPE,
    ),
    _counter(
        "millrace_tickets_redelivered_total",
        "Tickets that a worker has begun to work, of those that the broker had delivered before.",
        WORKER,
        TYPE,
    ),
    _counter(
        "millrace_tickets_failed_total",
        "Tickets that came back without a report. Their events stay open, and the ticket returns.",
        WORKER,
        TYPE,
        FAIL_OUTCOME,
    ),
    _counter("millrace_events_started_total", "Events on the tickets that were begun.", WORKER, TYPE),
    _counter(
        "millrace_events_finished_total",
        "Events worked, by outcome; a retried event is counted again at each attempt.",
        WORKER,
        TYPE,
        FINISH_OUTCOME,
    ),
    _histogram(
        "millrace_event_run_duration_seconds",
        "Time in the handler, for one event; in a bulk handler, an equal share for each.",
        WORKER,
        RUN,
        TYPE,
    ),
    _histogram(
        "millrace_event_commit_latency_seconds",
        "Time from accepted to committed, of events that succeeded, with any delay asked for.",
        WORKER,
        WAIT,
        TYPE,
    ),
    _histogram(
        "millrace_event_start_latency_seconds",
        "Time from accepted, or from the instant that was asked for, to the start of the handler; of each attempt.",
        WORKER,
        WAIT,
        TYPE,
    ),
    _gauge(
        "millrace_worker_tickets_running",
        "Tickets that children or threads of this worker work on now, without those of detached handlers.",
        WORKER,
    ),
    _gauge(
        "millrace_worker_last_progress_timestamp_seconds",
        "When the last ticket came back from a child or thread, or the first one went there.",
        WORKER,
    ),
    _gauge(
        "millrace_worker_hard_limit_seconds",
        "The longest hard limit that a ticket of this worker may have, without those of detached handlers: none is with"
        " a child for longer.",
        WORKER,
    ),
    _counter(
        "millrace_worker_children_lost_total",
        "Children of this worker that died over their work, by the type of it; one may take several tickets along.",
        WORKER,
        TYPE,
    ),
    _gauge(
        "millrace_tickets_due",
        "Tickets that are due and not published, up to 100,000, without those that are paused. Every clock counts all:"
        " take the max.",
        CLOCK,
        shown=SHOWN,
    ),
    _gauge(
        "millrace_tickets_out",
        "Tickets that are with the broker or a worker, up to 100,000. Every clock counts all: take the max.",
        CLOCK,
        shown=SHOWN,
    ),
    _gauge(
        "millrace_tickets_held",
        "Of those that are due, the tickets of types whose window is full: they wait for workers, and not to be"
        " published. Every clock counts all: take the max.",
        CLOCK,
        shown=SHOWN,
    ),
    _gauge(
        "millrace_tickets_overdue",
        "Of those that are out, the tickets whose patience has ended, by queue. Every clock counts all: take the max.",
        CLOCK,
        QUEUE,
        shown=SHOWN,
    ),
    _gauge(
        "millrace_oldest_waiting_seconds",
        "How long the longest-waiting event that is due has waited, for the broker or for a worker; 0 when none does."
        " What is paused and not published does not count. Of each queue the 500 oldest tickets that are out are looked"
        " at. After a pause it waits from the moment of resuming. Take the max.",
        CLOCK,
        QUEUE,
        TYPE,
        shown=SHOWN,
    ),
    _counter(
        "millrace_events_tallied_total",
        "Events by what the ledger has of them, since its beginning, by its tallies: nothing that happened to a process"
        " is missing here. Every clock reads all: take the max.",
        CLOCK,
        TYPE,
        WORD,
        goes_on=True,
    ),
    _gauge(
        "millrace_events_open",
        "Events that were accepted and have not ended, by the tallies. Every clock reads all: take the max.",
        CLOCK,
        TYPE,
        shown=SHOWN,
    ),
    _counter(
        "millrace_dead_letters_total",
        "Events that became dead letters while this clock ran, as the ledger has them: take the max.",
        CLOCK,
        TYPE,
        DEAD_REASON,
    ),
    _gauge(
        "millrace_dead_letters_unreplayed",
        "Dead letters that nobody has replayed or discarded. Each look counts 10,000, so that many take some looks."
        " Every clock reads all: take the max.",
        CLOCK,
        DEAD_REASON,
        shown=SHOWN,
    ),
    _gauge(
        "millrace_dead_letters_oldest_seconds",
        "How long the oldest of those has lain; 0 when there is none. Every clock reads all: take the max.",
        CLOCK,
        DEAD_REASON,
        shown=SHOWN,
    ),
    _gauge(
        "millrace_events_without_ticket",
        "Open events that no ticket covers (P8), of those that rounds through all events have found so far, up to"
        " 1,000; each look asks for them again. Must be 0. Every clock looks at all: take the max.",
        CLOCK,
        shown=SHOWN,
    ),
    _counter(
        "millrace_events_checked_total",
        "Events that this clock has looked at on its rounds for open ones without a ticket.",
        CLOCK,
    ),
    _gauge(
        "millrace_partitions_ahead",
        "Days after today that the ledger has a partition for. Every clock reads all: take the max.",
        CLOCK,
        shown=SHOWN,
    ),
    _gauge(
        "millrace_oldest_day_timestamp_seconds",
        "When the oldest day began of which all events are there. Every clock reads all: take the max.",
        CLOCK,
        shown=SHOWN,
    ),
    _gauge(
        "millrace_retention_overdue_days",
        "Days that are older than the retention by a day or more, and are there. Every clock reads all: take the max.",
        CLOCK,
        shown=SHOWN,
    ),
    _gauge(
        "millrace_retention_last_timestamp_seconds",
        "When retention was done the last time, by any clock. Every clock reads all: take the max.",
        CLOCK,
        shown=SHOWN,
    ),
    _gauge(
        "millrace_events_kept",
        "Events of days that are gone: open, dead or ended of late; up to 100,000. Every clock counts all: take the"
        " max.",
        CLOCK,
        shown=SHOWN,
    ),
    _gauge(
        "millrace_events_unpartitioned",
        "Other events in the default partition, up to 100,000; must be 0. Every clock counts all: take the max.",
        CLOCK,
        shown=SHOWN,
    ),
    _gauge(
        "millrace_clock_lateness_seconds",
        "How late the schedule is that is most overdue, at this clock's last look; 0 when none is. Take the max.",
        CLOCK,
        shown=SHOWN_SLOTS,
    ),
    _gauge(
        "millrace_duty_last_success_timestamp_seconds",
        "When this clock last did a duty to its end; `slots` is its look at the schedules. NaN until it has.",
        CLOCK,
        DUTY,
    ),
    _counter("millrace_duty_failures_total", "How often a duty of this clock failed.", CLOCK, DUTY),
    _counter("millrace_canary_sent_total", "Synthetic events and ticks that this clock sent or awaited.", CLOCK, QUEUE),
    _counter(
        "millrace_canary_lost_total",
        "Synthetic events and ticks that did not arrive: `refused` by the door, `failed`, or not worked within 60 s.",
        CLOCK,
        QUEUE,
        LOSS,
    ),
    _histogram(
        "millrace_canary_latency_seconds",
        "Time from sending a synthetic event to reading over HTTP that it was worked; of a tick, from its slot to its"
        " commit.",
        CLOCK,
        WAIT,
        QUEUE,
    ),
    _gauge(
        "millrace_certificate_expires_timestamp_seconds",
        "When a certificate ends: of those that `MILLRACE_BROKER_URL` and `MILLRACE_DATABASE_URL` name as files (not a"
        " whole system's authorities), and the one that the door showed to a clock's canary, where its URL is `https`.",
        ROLES,
        CERTIFICATE,
    ),
    _gauge(
        "millrace_objective_start_seconds",
        "The objective of a type: within how many seconds an event shall be begun; NaN for a type that has none.",
        CLOCK,
        TYPE,
    ),
    _gauge(
        "millrace_objective_start_ratio",
        "The objective of a type: the share of events that shall be begun within that time.",
        CLOCK,
        TYPE,
    ),
    _gauge(
        "millrace_objective_success_ratio",
        "The objective of a type: the share of events that shall succeed in the end.",
        CLOCK,
        TYPE,
    ),
    _counter(
        "millrace_slots_fired_total",
        "Planned instants of schedules that became events.",
        CLOCK,
        SCHEDULE,
    ),
    _counter(
        "millrace_slots_skipped_total",
        "Planned instants of schedules that became no event, and why.",
        CLOCK,
        SCHEDULE,
        SKIP_REASON,
    ),
    _gauge(
        "millrace_schedule_last_success_timestamp_seconds",
        "When the latest event of a declared schedule succeeded, in seconds since the epoch. Every clock asks: take the"
        " max.",
        CLOCK,
        SCHEDULE,
        shown=SHOWN,
    ),
    _gauge(
        "millrace_schedule_expected_timestamp_seconds",
        "Since when a declared schedule should have succeeded: the third-latest instant at which it was due, in seconds"
        " since the epoch. NaN while it is paused, and for one that was not due so often yet. Every clock asks: take"
        " the max.",
        CLOCK,
        SCHEDULE,
        shown=SHOWN,
    ),
    _gauge(
        "millrace_schedules_stale",
        "Of the schedules that were made at run time (API, console), how many were due three times since their last"
        " success; the first 5,000 by name are looked at. Every clock asks: take the max.",
        CLOCK,
        shown=SHOWN,
    ),
    _histogram(
        "millrace_slot_lateness_seconds",
        "Time from a planned instant to the commit of its event.",
        CLOCK,
        LATE,
        SCHEDULE,
    ),
    _counter(
        "millrace_messages_returned_total",
        "Messages read from the dead queue: `ours` are due again, a `stray` was filed.",
        CLOCK,
        OWNER,
        REASON,
    ),
)


if __name__ == "__main__":
    import sys

    from service.telemetry import reference

    sys.stdout.write(reference.page())
