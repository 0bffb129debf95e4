"""Schedules: do slots fire, in time, and are their ticks worked?"""

from __future__ import annotations

from monitoring.grafana.ask import heat, highest, of_ours, quantile, rate, ratio, share_below, total
from monitoring.grafana.boards import faults
from monitoring.grafana.model import (
    GREEN,
    JOB,
    ORANGE,
    RED,
    SCHEDULE,
    YELLOW,
    Board,
    Kind,
    Limit,
    Panel,
    Query,
    Row,
)

FIRED = "millrace_slots_fired_total"
SKIPPED = "millrace_slots_skipped_total"
LATE = "millrace_slot_lateness_seconds"
WAITING = of_ours('rabbitmq_detailed_queue_messages_ready{queue="periodic"}')
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
            Kind.STAT, "short", (Query(f"sum({WAITING})"),),
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
            width=12, decimals=0,
        ),
        Panel(
            "Spread of the lateness",
            "How many slots were how late: each cell is a bucket.",
            "A few far up: the take-over after a clock was lost. All of them: the ledger is slow.",
            Kind.HEAT, "s", (Query(heat(LATE, OF)),), width=12,
        ),
        Panel(
            "Skipped",
            "Slots per second that became no event, by reason: overlap, paused, misfire.",
            "Overlap: ticks take longer than their period, or wait. Misfire: no clock was there in time.",
            Kind.GRAPH, "suffix: slots/s", (Query(rate(SKIPPED, OF, by="reason"), "{{reason}}"),),
            (Limit(0.001, YELLOW),), width=12, stacked=True,
        ),
        Panel(
            "Since the last success",
            "Seconds since an event of each schedule succeeded for the last time, as far as the latest 50 slots tell.",
            "Longer than a few of its periods: its ticks fail, or none fires. See its dead letters.",
            Kind.TABLE, "s",
            (
                Query(
                    "time() - "
                    + highest("millrace_schedule_last_success_timestamp_seconds", OF, by="schedule"),
                    "Seconds ago",
                ),
            ),
            width=12,
        ),
    ),
)  # fmt: skip

CLOCKS = Row(
    "The clocks",
    (
        Panel(
            "How late it is now",
            "How late the most overdue schedule is, at each clock's last look.",
            "It grows as fast as time goes: no clock fires. It is there before any slot is late in a histogram.",
            Kind.GRAPH, "s", (Query(highest("millrace_clock_lateness_seconds", by="instance"), "{{instance}}"),),
            (Limit(2, ORANGE), Limit(10, RED)),
        ),
        Panel(
            "Since each duty was done",
            "Seconds since any clock last did a duty to its end.",
            "A duty that stands still: the log of the clocks says why, with the action `clock.<duty>`.",
            Kind.TABLE, "s",
            (
                Query(
                    f"time() - {highest('millrace_duty_last_success_timestamp_seconds', by='duty')}", "Seconds ago",
                ),
            ),
            (Limit(60, YELLOW), Limit(600, RED)),
        ),
        Panel(
            "Duties that failed",
            "How often a duty of a clock failed, per second.",
            "All of them: the ledger is away. One: the log says why.",
            Kind.GRAPH, "suffix: /s", (Query(rate("millrace_duty_failures_total", by="duty"), "{{duty}}"),),
            (Limit(0.005, ORANGE), Limit(0.1, RED)), stacked=True,
        ),
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
            (Limit(1, GREEN),), ground=RED, words=(("1", "connected", GREEN), ("0", "lost", RED)), width=24, height=6,
        ),
        Panel(
            "Days with a partition",
            "For how many days from today the ledger's table of events has a partition.",
            "It falls by one each day: no clock does its upkeep. At none, events go to the default partition.",
            Kind.GRAPH, "suffix: days", (Query(highest("millrace_partitions_ahead"), "ahead"),),
            (Limit(3, ORANGE), Limit(7, GREEN)), ground=RED,
        ),
        Panel(
            "Days that should have gone",
            "Days of events that are older than the retention by a day or more, and are still there.",
            "It grows: somebody holds the table for long, the schedule is paused, or a clock lacks the right.",
            Kind.GRAPH, "suffix: days", (Query(highest("millrace_retention_overdue_days"), "overdue"),),
            (Limit(3, ORANGE),),
        ),
        Panel(
            "Since when",
            "How long ago the oldest whole day began, and how long ago retention was done.",
            "The first is the retention and up to two days; the second stays under a day or so.",
            Kind.GRAPH, "s",
            (
                Query(f"time() - {highest('millrace_oldest_day_timestamp_seconds')}", "oldest day"),
                Query(f"time() - {highest('millrace_retention_last_timestamp_seconds')}", "retention"),
            ),
        ),
        Panel(
            "Kept of days that are gone",
            "Events in the default partition whose day is gone: open ones, and dead letters that nobody has replayed.",
            "It grows: look through the dead letters, replay or discard them.",
            Kind.GRAPH, "short", (Query(highest("millrace_events_kept"), "kept"),),
            (Limit(10_000, ORANGE), Limit(100_000, RED)), width=6,
        ),
        Panel(
            "Without a partition",
            "Events in the default partition that had none of their own when they came.",
            "Any: no clock made partitions in time; divide them.",
            Kind.GRAPH, "short", (Query(highest("millrace_events_unpartitioned"), "without a day"),),
            (Limit(1, RED),), width=6,
        ),
        Panel(
            "Open events looked at",
            "Events that the clocks look at on their rounds for open ones without a ticket, per second.",
            "None: nobody checks; that there are no such events is then not known.",
            Kind.GRAPH, "suffix: ev/s", (Query(rate("millrace_events_checked_total"), "checked"),),
            width=6,
        ),
        Panel(
            "What they have to publish",
            "Tickets that are due: new ones whose web process died, retries, delays, and what was held back.",
            "It does not fall: the broker is away, a type is paused, or its window is full.",
            Kind.GRAPH, "short", (Query(highest("millrace_tickets_due"), "due"),), (Limit(10_000, ORANGE),),
            width=6,
        ),
    ),
)  # fmt: skip

BOARD = Board(
    "millrace-schedules",
    "Millrace / Schedules",
    "Do slots fire in time, and are their ticks worked?",
    "Open it when something periodic did not happen.",
    (NOW, SLOTS, faults.STALE, CLOCKS),
    (JOB, SCHEDULE),
)
