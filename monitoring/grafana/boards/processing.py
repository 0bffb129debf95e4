"""Processing: what do handlers do, and how long does it take?"""

from __future__ import annotations

from monitoring.grafana.ask import TYPE as OF_TYPE
from monitoring.grafana.ask import heat, of, quantile, rate, ratio, top, total
from monitoring.grafana.model import JOB, ORANGE, RED, TYPE, YELLOW, Board, Kind, Limit, Panel, Query, Row

FINISHED = "millrace_events_finished_total"
FAILED = "millrace_tickets_failed_total"
STARTED = "millrace_event_start_latency_seconds"
RUN = "millrace_event_run_duration_seconds"
LATENCY = "millrace_event_commit_latency_seconds"
QUANTILES = ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))
NO_WORK = "no event was worked in the time that is looked at"

OUTCOMES = Row(
    "What came of it",
    (
        Panel(
            "Events by outcome",
            "Attempts that ended, per second. `skipped` were found closed: their ticket came twice, which is harmless.",
            "`retry` and `dead` grow: the handlers' errors are in the log and in the event's history.",
            Kind.GRAPH, "suffix: ev/s", (Query(rate(FINISHED, OF_TYPE, by="outcome"), "{{outcome}}"),),
            width=12, stacked=True,
        ),
        Panel(
            "Attempts that failed",
            "The share of attempts that ended in a retry or in a dead letter.",
            "A jump after a deploy mark: roll back. Slowly rising: something that handlers call gets worse.",
            Kind.GRAPH, "percentunit",
            (
                Query(
                    ratio(
                        rate(FINISHED, OF_TYPE, 'outcome=~"retry|dead"', by="type"),
                        rate(FINISHED, OF_TYPE, by="type"),
                    ),
                    "{{type}}",
                ),
            ),
            (Limit(0.05, YELLOW), Limit(0.25, RED)), width=12, top=1, quiet=NO_WORK,
        ),
        Panel(
            "Lost tickets",
            "Tickets that came back without a report: their process was lost, or out of time. Their events stay open.",
            "`worker_lost`: out of memory, or a crash in C code. `time_limit`: a handler hangs.",
            Kind.GRAPH, "suffix: tickets/s", (Query(rate(FAILED, OF_TYPE, by="outcome"), "{{outcome}}"),),
            (Limit(0.005, ORANGE), Limit(0.1, RED)), stacked=True,
        ),
        Panel(
            "Who loses them",
            "The same by type.",
            "One type: its handler. All types: the machine.",
            Kind.GRAPH, "suffix: tickets/s", (Query(top(10, rate(FAILED, OF_TYPE, by="type")), "{{type}}"),),
            (Limit(0.005, ORANGE), Limit(0.1, RED)), stacked=True,
        ),
        Panel(
            "Retries by type",
            "Attempts that will be made again, per second.",
            "A type that retries all it does has lost what it depends on; pause it until that is back.",
            Kind.GRAPH, "suffix: ev/s",
            (Query(top(10, rate(FINISHED, OF_TYPE, 'outcome="retry"', by="type")), "{{type}}"),), stacked=True,
        ),
    ),
)  # fmt: skip

TIME = Row(
    "How long it takes",
    (
        Panel(
            "From accepted to committed",
            "The whole way of events that succeeded, delays that were asked for included.",
            "Far above the time in the handler: events wait. Start workers, or see Queues and broker.",
            Kind.GRAPH, "s", tuple(Query(quantile(q, LATENCY, OF_TYPE), name) for q, name in QUANTILES),
            (Limit(5, ORANGE), Limit(60, RED)), quiet=NO_WORK,
        ),
        Panel(
            "Waiting for a worker",
            "Time from accepted, or from the instant that was asked for, to the start of the handler; of each attempt.",
            "It rises and the time in the handler does not: there are too few workers.",
            Kind.GRAPH, "s", tuple(Query(quantile(q, STARTED, OF_TYPE), name) for q, name in QUANTILES),
            (Limit(5, ORANGE), Limit(60, RED)), quiet=NO_WORK,
        ),
        Panel(
            "Time in the handler",
            "One event's time in its handler; of a bulk handler, an equal share for each.",
            "It rises and nothing was deployed: the database or a service behind the handler is slower.",
            Kind.GRAPH, "s", tuple(Query(quantile(q, RUN, OF_TYPE), name) for q, name in QUANTILES),
            (Limit(10, ORANGE), Limit(60, RED)), quiet=NO_WORK,
        ),
        Panel(
            "Slowest types",
            "The 95th percentile of the time in the handler, by type.",
            "A type that takes longer than the others should have a queue of its own.",
            Kind.GRAPH, "s", (Query(top(10, quantile(0.95, RUN, OF_TYPE, by="type")), "{{type}}"),),
            (Limit(10, ORANGE), Limit(60, RED)), width=12, quiet=NO_WORK,
        ),
        Panel(
            "Longest waiting types",
            "The 95th percentile of the time to the start of the handler, by type.",
            "One type alone: its queue has no worker, it is paused, or its window is full.",
            Kind.GRAPH, "s", (Query(top(10, quantile(0.95, STARTED, OF_TYPE, by="type")), "{{type}}"),),
            (Limit(5, ORANGE), Limit(60, RED)), width=12, quiet=NO_WORK,
        ),
        Panel(
            "Spread of the way to the commit",
            "How many events took how long from accepted to committed.",
            "A second band far above: retries, or events that came while workers were missing.",
            Kind.HEAT, "s", (Query(heat(LATENCY, OF_TYPE)),), width=12,
        ),
        Panel(
            "Spread of the time in the handler",
            "How many events spent how long in their handler.",
            "Bands show the branches of a handler; a new one is a new branch, or a time-out.",
            Kind.HEAT, "s", (Query(heat(RUN, OF_TYPE)),), width=12,
        ),
    ),
)  # fmt: skip

LOAD = Row(
    "What the workers are busy with",
    (
        Panel(
            "Busy handlers by type",
            "How many handlers of a type run at once, on average: seconds in the handler per second.",
            "The sum nears the number of all children: workers are full, start more.",
            Kind.GRAPH, "suffix: handlers", (Query(top(10, rate(f"{RUN}_sum", OF_TYPE, by="type")), "{{type}}"),),
            width=12, stacked=True,
        ),
        Panel(
            "Tickets in work, by worker",
            "How many tickets the children or threads of each worker work on now.",
            "All at their `-c`: the workers are full. One at nothing while others are full: it is stuck, or cut off.",
            Kind.GRAPH, "short",
            (Query(f"sum by (instance) ({of('millrace_worker_tickets_running')})", "{{instance}}"),),
            width=12,
        ),
        Panel(
            "Since the last ticket",
            "Of each worker: since when no ticket came back, the most that one may take, what is in work, who died.",
            "A worker with tickets in work and no progress for longer than one may take hangs.",
            Kind.TABLE, "s",
            (
                Query(
                    f"time() - max by (instance) ({of('millrace_worker_last_progress_timestamp_seconds')})",
                    "Since the last ticket",
                ),
                Query(f"max by (instance) ({of('millrace_worker_hard_limit_seconds')})", "At the most"),
                Query(f"sum by (instance) ({of('millrace_worker_tickets_running')})", "In work", "short"),
                Query(total("millrace_worker_children_lost_total", by="instance"), "Children lost", "short"),
            ),
            width=12, decimals=0,
        ),
        Panel(
            "Events to a ticket, by type",
            "How many events ride on one ticket, on average.",
            "Few under load: bundles are small, and each ticket costs Celery's time. See `bundle` in docs/handlers.md.",
            Kind.GRAPH, "short",
            (
                Query(
                    ratio(
                        rate("millrace_events_started_total", OF_TYPE, by="type"),
                        rate("millrace_tickets_started_total", OF_TYPE, by="type"),
                    ),
                    "{{type}}",
                ),
            ),
            width=12, quiet=NO_WORK,
        ),
    ),
)  # fmt: skip

BOARD = Board(
    "millrace-processing",
    "Millrace / Processing",
    "What do handlers do, and how long does it take?",
    "Open it when events are slow or fail, and after each deploy.",
    (OUTCOMES, TIME, LOAD),
    (JOB, TYPE),
)
