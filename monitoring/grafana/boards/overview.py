"""Overview: do events flow, and are we within our objectives?"""

from __future__ import annotations

from monitoring.grafana.ask import canary, highest, highest_rate, quantile, rate, ratio, share_below, top, total
from monitoring.grafana.boards import promises
from monitoring.grafana.model import GREEN, JOB, ORANGE, RED, YELLOW, Board, Kind, Limit, Panel, Query, Row

STARTED = "millrace_event_start_latency_seconds"
LATENCY = "millrace_event_commit_latency_seconds"
ACCEPTED = "millrace_events_accepted_total"
FINISHED = "millrace_events_finished_total"
TALLIED = "millrace_events_tallied_total"
ENTERED = 'word="accepted"'
BAD = 'outcome="unavailable"'
ASKED = 'outcome=~"accepted|duplicate|unavailable"'
FIRING = 'ALERTS{alertstate="firing", alertname=~"Millrace.*", alertname!="MillraceWatchdog"}'
QUIET_TRAFFIC = "nothing happened in the time that is looked at"


def _stat(title: str, unit: str, expr: str, limits: tuple[Limit, ...], tells: str, act: str, **more: object) -> Panel:
    return Panel(title, tells, act, Kind.STAT, unit, (Query(expr),), limits, width=4, height=4, **more)  # type: ignore[arg-type]


OBJECTIVES = Row(
    "Objectives, over the whole time above",
    (
        _stat(
            "Accepted", "percentunit", f"1 - {ratio(total(ACCEPTED, BAD), total(ACCEPTED, ASKED))}",
            (Limit(0.999, ORANGE), Limit(0.9995, GREEN)),
            "The share of events that were stored when they could be expected to be: what clients did wrong does not"
            " count against it. The objective is 99.95 %.",
            "Below: see Ingest for which answer they got, and the connections below for which server is away.",
            ground=RED, top=1, decimals=3, quiet=QUIET_TRAFFIC,
        ),
        _stat(
            "Begun within 5 s", "percentunit", share_below("5.0", STARTED),
            (Limit(0.98, ORANGE), Limit(0.99, GREEN)),
            "The share of attempts that were begun at most 5 s after they were due. What still waits is not in it:"
            " look at the oldest, too. The objective is 99 %.",
            "Below: Queues tells what waits and for whom, Processing whether the workers are full.",
            ground=RED, top=1, decimals=2, quiet=QUIET_TRAFFIC,
        ),
        _stat(
            "Slots within 2 s", "percentunit", share_below("2.0", "millrace_slot_lateness_seconds"),
            (Limit(0.99, ORANGE), Limit(0.999, GREEN)),
            "The share of planned instants that became an event at most 2 s late. The objective is 99.9 %.",
            "Below: see Schedules. A clock was lost, or the ledger was away.",
            ground=RED, top=1, decimals=2, quiet=QUIET_TRAFFIC,
        ),
        _stat(
            "Dead letters", "short", total(FINISHED, 'outcome="dead"'),
            (Limit(1, ORANGE), Limit(100, RED)),
            "Events that ended in `dead`.",
            "More than none: see Dead letters for the types and reasons, and replay them when the cause is gone.",
            decimals=0,
        ),
        _stat(
            "Oldest waiting",
            "s",
            highest("millrace_oldest_waiting_seconds"),
            (Limit(60, ORANGE), Limit(600, RED)),
            "How long the event has waited that has waited longest, of those that are due.",
            "Above a minute: workers are missing, or far behind. See Queues and broker.",
            decimals=1,
        ),
        _stat(
            "Alerts firing", "short", f"count({FIRING}) or vector(0)",
            (Limit(1, RED),),
            "Alerts of Millrace that fire now.",
            "Each has a runbook under docs/runbooks.",
            decimals=0,
        ),
        Panel(
            "What fires",
            "The alerts that fire now, one row each.",
            "`critical` wakes somebody, `warning` is for the day. Each name is that of a page under docs/runbooks.",
            Kind.TABLE,
            "short",
            (Query(f"count by (severity, alertname, job, type, queue) ({FIRING})", "Number"),),
            (Limit(1, RED),),
            width=24,
            height=9,
            quiet="no alert fires",
        ),
    ),
)  # fmt: skip

FLOW = Row(
    "Do events flow?",
    (
        Panel(
            "Accepted and finished",
            "Events accepted, those of schedules and replays too, as the ledger tallies them, and what came of their"
            " attempts, per second. `accepted` and `done` lie on each other when all is well; between them grows what"
            " waits.",
            "`done` stays below `accepted`: events pile up, see Queues and broker. `dead` rises: see Dead letters.",
            Kind.GRAPH, "suffix: ev/s",
            (
                Query(f"sum ({highest_rate(TALLIED, ENTERED, by='type')})", "accepted"),
                Query(rate(FINISHED, 'outcome="done"'), "done"),
                Query(rate(FINISHED, 'outcome="retry"'), "retry"),
                Query(rate(FINISHED, 'outcome="dead"'), "dead"),
            ),
            width=12,
        ),
        Panel(
            "From accepted to committed",
            "How long the events took that succeeded, delays that were asked for included.",
            "Above the dashed lines: see Processing for the run times, and Queues for the waiting.",
            Kind.GRAPH, "s",
            tuple(Query(quantile(q, LATENCY), f"p{round(q * 100)}") for q in (0.5, 0.95, 0.99)),
            (Limit(5, ORANGE), Limit(60, RED)), width=12, quiet=QUIET_TRAFFIC,
        ),
        Panel(
            "Tickets",
            "Due: they wait to be published. Out: with the broker or a worker. Overdue: out for longer than their"
            " patience. Every open event has one of them.",
            "`due` rises: the broker is away, a window is full, or no clock runs. `out` rises: workers do not keep up.",
            Kind.GRAPH, "short",
            (
                *(Query(highest(f"millrace_tickets_{word}"), word) for word in ("due", "out")),
                Query(f"sum({highest('millrace_tickets_overdue', by='queue')})", "overdue"),
            ),
            (Limit(10_000, ORANGE), Limit(100_000, RED)),
        ),
        Panel(
            "Open events",
            "Events that were accepted and have not ended, by type, as the ledger tallies them.",
            "It rises and does not fall again: that type is not worked as fast as it comes, or waits for a retry.",
            Kind.GRAPH,
            "short",
            (Query(top(10, highest("millrace_events_open", by="type")), "{{type}}"),),
            stacked=True,
        ),
        Panel(
            "Canary",
            "Time from sending a synthetic event, or from the slot of a synthetic tick, until it was worked, by queue:"
            " half of them take at most p50, nine in ten p90.",
            "It goes the whole road. Slow or gone while all else looks well: believe the canary.",
            Kind.GRAPH,
            "s",
            canary(),
            (Limit(5, ORANGE), Limit(60, RED)),
        ),
        Panel(
            "Answers of the door",
            "HTTP requests by the class of their answer, per second.",
            "5xx: the ledger or the intake cannot take events. See Ingest.",
            Kind.GRAPH, "reqps",
            tuple(
                Query(rate("millrace_http_requests_total", f'code=~"{digit}.."'), f"{digit}xx")
                for digit in (2, 4, 5)
            ),
            width=12,
            quiet="no such answer was given yet",
        ),
        Panel(
            "How late slots are",
            "Time from a planned instant to the commit of its event.",
            "Above 2 s: see Schedules. Clocks are missing, or wait for the ledger.",
            Kind.GRAPH, "s",
            tuple(
                Query(quantile(q, "millrace_slot_lateness_seconds"), f"p{round(q * 100)}") for q in (0.5, 0.95, 0.99)
            ),
            (Limit(2, ORANGE), Limit(10, RED)), width=12,
            quiet=QUIET_TRAFFIC,
        ),
    ),
)  # fmt: skip

HEALTH = Row(
    "Is everybody there?",
    (
        Panel(
            "Processes",
            "Whether Prometheus reaches each process.",
            "One is down: its supervisor's log says why. All of a role: see the runbook of the alert that fires.",
            Kind.STATES, "short", (Query('min by (job, instance) (up{job=~"$job"})', "{{job}} {{instance}}"),),
            (Limit(1, GREEN),), ground=RED, words=(("1", "up", GREEN), ("0", "down", RED)), width=12,
        ),
        Panel(
            "Connections",
            "What the processes of a job heard last from broker and ledger; the worst of them counts.",
            "Lost in all jobs: the server is away. Lost in one: the network between, or its credentials.",
            Kind.STATES, "short",
            (Query('min by (job, peer) (millrace_connection_up{job=~"$job"} >= 0)', "{{job}} → {{peer}}"),),
            (Limit(1, GREEN),), ground=RED, words=(("1", "connected", GREEN), ("0", "lost", RED)), width=12,
        ),
        Panel(
            "Versions",
            "How many processes run of what.",
            "Two versions for longer than a deploy takes: it has stopped halfway.",
            Kind.TABLE, "short",
            (Query('count by (role, version, python, celery) (millrace_build_info{job=~"$job"})', "Processes"),),
        ),
        Panel(
            "CPU",
            "Cores that each job's busiest process uses; of workers, their parents, whose children are not in it.",
            "At 1: that process is at its end, start another.",
            Kind.GRAPH, "suffix: cores",
            (Query('max by (job) (rate(process_cpu_seconds_total{job=~"$job"}[$__rate_interval]))', "{{job}}"),),
            (Limit(0.8, YELLOW), Limit(1, RED)),
        ),
        Panel(
            "Memory",
            "Resident memory of each job's largest process; of workers, of their parents.",
            "It grows for days: a leak. Say so with a heap profile.",
            Kind.GRAPH, "bytes",
            (Query('max by (job) (process_resident_memory_bytes{job=~"$job"})', "{{job}}"),),
            (Limit(1024**3, YELLOW),),
        ),
    ),
)  # fmt: skip

BOARD = Board(
    "millrace-overview",
    "Millrace / Overview",
    "Do events flow, and are we within our objectives?",
    "Open it first, and leave it on the wall.",
    (OBJECTIVES, FLOW, promises.TYPES, HEALTH),
    (JOB,),
)
