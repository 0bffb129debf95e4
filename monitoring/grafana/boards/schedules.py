"""Schedules: do slots fire, in time, and are their ticks worked?"""

from __future__ import annotations

from monitoring.grafana.ask import heat, highest, quantile, rate, ratio, share_below, total
from monitoring.grafana.model import GREEN, JOB, ORANGE, RED, SCHEDULE, Board, Kind, Limit, Panel, Query, Row

FIRED = "millrace_slots_fired_total"
LATE = "millrace_slot_lateness_seconds"
OF = 'schedule=~"$schedule"'
QUIET = "no slot fired in the time that is looked at"

NOW = Row(
    "Now",
    (
        Panel(
            "Clocks alive",
            "Clocks that Prometheus reaches. All of them work; one is enough, two survive a loss.",
            "None: nothing periodic happens, and retries and delays wait. Start `celery -A schedules beat`.",
            Kind.STAT, "short", (Query('count(millrace_build_info{job=~"$job", role="clock"}) or vector(0)'),),
            (Limit(1, ORANGE), Limit(2, GREEN)), ground=RED, width=6, height=4, decimals=0,
        ),
        Panel(
            "Slots fired",
            "Planned instants that became an event, in the whole time above.",
            "Compare it with what is planned: an hourly schedule fires 24 slots a day.",
            Kind.STAT, "short", (Query(total(FIRED, OF)),), width=6, height=4, decimals=0,
        ),
        Panel(
            "Within 2 s",
            "The share of slots that fired at most 2 s late, in the whole time above.",
            "Below 99.9 %: a clock was lost, or the ledger was away; the marks and the overview tell which.",
            Kind.STAT, "percentunit", (Query(share_below("2.0", LATE, OF)),),
            (Limit(0.99, ORANGE), Limit(0.999, GREEN)), ground=RED, width=6, height=4, top=1, decimals=2, quiet=QUIET,
        ),
        Panel(
            "Ticks that wait",
            "Messages on the queue of ticks that no worker has taken.",
            "More than a few: no worker has `-Q periodic`, or ticks take longer than their period.",
            Kind.STAT, "short", (Query('sum(rabbitmq_detailed_queue_messages_ready{queue="periodic"})'),),
            (Limit(10, ORANGE), Limit(1000, RED)), width=6, height=4, decimals=0,
        ),
    ),
)  # fmt: skip

SLOTS = Row(
    "Slots",
    (
        Panel(
            "Fired by schedule",
            "Slots per second, by schedule.",
            "A line that ends: the schedule was taken out of the code, or no clock knows it with the same plan.",
            Kind.GRAPH, "suffix: slots/s", (Query(rate(FIRED, OF, by="schedule"), "{{schedule}}"),),
            width=12, stacked=True,
        ),
        Panel(
            "How late",
            "Time from a planned instant to the commit of its event, over the chosen schedules.",
            "Above 2 s: clocks are missing, or wait for the ledger.",
            Kind.GRAPH, "s", tuple(Query(quantile(q, LATE, OF), f"p{round(q * 100)}") for q in (0.5, 0.95, 0.99)),
            (Limit(2, ORANGE), Limit(10, RED)), width=12, quiet=QUIET,
        ),
        Panel(
            "Each schedule",
            "How often it fired in the whole time above, and how late, on average.",
            "One that did not fire at all stands here with 0.",
            Kind.TABLE, "short",
            (
                Query(total(FIRED, OF, by="schedule"), "Fired"),
                Query(
                    ratio(total(f"{LATE}_sum", OF, by="schedule"), total(f"{LATE}_count", OF, by="schedule")),
                    "Late, on average", "s",
                ),
            ),
            width=12,
        ),
        Panel(
            "Spread of the lateness",
            "How many slots were how late: each cell is a bucket.",
            "A few far up: the take-over after a clock was lost. All of them: the ledger is slow.",
            Kind.HEAT, "s", (Query(heat(LATE, OF)),), width=12,
        ),
    ),
)  # fmt: skip

CLOCKS = Row(
    "The clocks",
    (
        Panel(
            "Their connections",
            "What each clock heard last from ledger and broker.",
            "Lost: it says why in its log (`action` is `clock.<duty>`).",
            Kind.STATES, "short",
            (
                Query(
                    'min by (instance, peer) (millrace_connection_up{job=~"$job"} >= 0'
                    ' and on (job, instance) millrace_build_info{role="clock"})',
                    "{{instance}} → {{peer}}",
                ),
            ),
            (Limit(1, GREEN),), ground=RED, words=(("1", "connected", GREEN), ("0", "lost", RED)), width=12,
        ),
        Panel(
            "What they have to publish",
            "Tickets that are due: new ones whose web process died, retries, delays, and what was held back.",
            "It does not fall: the broker is away, a type is paused, or its window is full.",
            Kind.GRAPH, "short", (Query(highest("millrace_tickets_due"), "due"),), (Limit(10_000, ORANGE),), width=12,
        ),
    ),
)  # fmt: skip

BOARD = Board(
    "millrace-schedules",
    "Millrace / Schedules",
    "Do slots fire in time, and are their ticks worked?",
    "Open it when something periodic did not happen.",
    (NOW, SLOTS, CLOCKS),
    (JOB, SCHEDULE),
)
