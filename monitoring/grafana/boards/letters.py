"""Dead letters: what could not be worked, why, and what came close to it?"""

from __future__ import annotations

from monitoring.grafana.ask import TYPE as OF_TYPE
from monitoring.grafana.ask import highest, highest_rate, highest_total, of_ours, rate, ratio, total
from monitoring.grafana.boards import faults
from monitoring.grafana.model import JOB, ORANGE, RED, TYPE, YELLOW, Board, Kind, Limit, Panel, Query, Row

FINISHED = "millrace_events_finished_total"
RETURNED = "millrace_messages_returned_total"
FAILED = "millrace_tickets_failed_total"
TALLIED = "millrace_events_tallied_total"
DEAD = 'outcome="dead"'
RETURNING = of_ours('rabbitmq_detailed_queue_messages{queue="dead"}')
EXPIRED = 'word="expired"'
ENDED = 'word=~"done|dead|expired|cancelled"'


def _stat(title: str, expr: str, limits: tuple[Limit, ...], tells: str, act: str) -> Panel:
    return Panel(title, tells, act, Kind.STAT, "short", (Query(expr),), limits, width=4, height=4, decimals=0)


NOW = Row(
    "In the whole time above",
    (
        _stat(
            "Dead letters", total(FINISHED, OF_TYPE, DEAD), (Limit(1, ORANGE), Limit(100, RED)),
            "Events that ended in `dead`: out of attempts, invalid, discarded, or the end of their workers.",
            "`millrace dead` shows them with their errors; `millrace replay` brings them back.",
        ),
        _stat(
            "Not replayed", f"sum ({highest('millrace_dead_letters_unreplayed', by='reason')})",
            (Limit(1, ORANGE), Limit(1000, RED)),
            "Dead letters that wait for a decision now.",
            "Replay them when their cause is gone, or leave them: they are kept.",
        ),
        _stat(
            "Retries", total(FINISHED, OF_TYPE, 'outcome="retry"'), (Limit(1000, YELLOW),),
            "Attempts that failed and will be made again.",
            "Many retries today are dead letters tomorrow, unless their cause goes.",
        ),
        _stat(
            "Strays", total(RETURNED, 'owner="stray"'), (Limit(1, ORANGE),),
            "Messages on our queues that are not ours. They were filed, with bytes and headers.",
            "Somebody publishes to our exchanges by mistake, or tries to. `millrace strays` shows them.",
        ),
        _stat(
            "Without a ticket", highest("millrace_events_without_ticket"), (Limit(1, RED),),
            "Open events that no ticket covers, which nobody would ever work. It must be none.",
            "Any: run `millrace doctor` and keep what it says; this is a defect.",
        ),
        _stat(
            "Expired", f"sum({highest_total(TALLIED, OF_TYPE, EXPIRED, by='type')})", (Limit(1, YELLOW),),
            "Events that were not begun before their `expires_at`.",
            "The producer asked for it; many of them say that workers are too few.",
        ),
    ),
)  # fmt: skip

EVENTS = Row(
    "Events",
    (
        Panel(
            "Dead letters by type",
            "Events that ended in `dead`, per second.",
            "A jump after a deploy mark: roll back, then replay. One type: what its handler depends on.",
            Kind.GRAPH, "suffix: ev/s", (Query(rate(FINISHED, OF_TYPE, DEAD, by="type"), "{{type}}"),),
            (Limit(0.001, ORANGE), Limit(1, RED)), width=12, stacked=True,
        ),
        Panel(
            "Of every hundred events",
            "The share of events that ended in `dead`, of those that ended, as the ledger tallies them.",
            "More than before: the same. It tells a bad handler from a busy day.",
            Kind.GRAPH, "percentunit",
            (
                Query(
                    ratio(
                        highest_rate(TALLIED, OF_TYPE, 'word="dead"', by="type"),
                        f"sum by (type) ({highest_rate(TALLIED, OF_TYPE, ENDED, by='type, word')})",
                    ),
                    "{{type}}",
                ),
            ),
            (Limit(0.001, YELLOW), Limit(0.01, RED)), width=12, top=1,
            quiet="no event ended in the time that is looked at",
        ),
        Panel(
            "Dead letters by reason",
            "Events that became dead letters, per second, as the ledger has them.",
            "`attempts`: what they call was away too long. `invalid`: a producer. `worker_lost`: they kill workers.",
            Kind.GRAPH, "suffix: ev/s",
            (Query(highest_rate("millrace_dead_letters_total", OF_TYPE, by="type, reason"), "{{type}}: {{reason}}"),),
            (Limit(0.001, ORANGE), Limit(1, RED)), width=12, stacked=True,
        ),
        Panel(
            "By type",
            "What ended badly in the whole time above, as the ledger tallies it (people cancel at the door, of which no"
            " worker knows), and what was tried again.",
            "Begin with the type at the top: its events and errors are one click away in the console.",
            Kind.TABLE, "short",
            (
                Query(highest_total(TALLIED, OF_TYPE, 'word="dead"', by="type"), "Dead"),
                Query(total(FINISHED, OF_TYPE, 'outcome="retry"', by="type"), "Retries"),
                Query(highest_total(TALLIED, OF_TYPE, EXPIRED, by="type"), "Expired"),
                Query(highest_total(TALLIED, OF_TYPE, 'word="cancelled"', by="type"), "Cancelled"),
            ),
            width=12, decimals=0,
        ),
        Panel(
            "Not replayed, by reason",
            "Dead letters that wait for a decision.",
            "It falls when they are replayed. It rises for days: nobody looks.",
            Kind.GRAPH, "short",
            (Query(highest("millrace_dead_letters_unreplayed", by="reason"), "{{reason}}"),),
            (Limit(1, ORANGE), Limit(1000, RED)), width=24, stacked=True,
        ),
    ),
)  # fmt: skip

MESSAGES = Row(
    "Messages and tickets",
    (
        Panel(
            "Messages that came back",
            "Messages read from the queue `dead`: `ours` are tickets, which are due again, a `stray` was filed.",
            "`ours` by `delivery_limit`: a ticket that kills its workers. Its events are worked one by one now.",
            Kind.GRAPH, "suffix: msg/s", (Query(rate(RETURNED, by="owner, reason"), "{{owner}}: {{reason}}"),),
            (Limit(0.01, ORANGE), Limit(1, RED)), stacked=True,
        ),
        Panel(
            "Messages on the queue dead",
            "What no clock has read yet.",
            "It does not fall to nothing: no clock runs, or the ledger does not take what is not ours.",
            Kind.GRAPH, "short", (Query(f"sum({RETURNING})", "messages"),),
            (Limit(1, YELLOW), Limit(1000, RED)),
        ),
        Panel(
            "Lost tickets by outcome",
            "Tickets that came back without a report. After three lost workers an event is dead.",
            "See Processing for the types.",
            Kind.GRAPH, "suffix: tickets/s", (Query(rate(FAILED, OF_TYPE, by="outcome"), "{{outcome}}"),),
            (Limit(0.005, ORANGE), Limit(0.1, RED)), stacked=True,
        ),
    ),
)  # fmt: skip

BOARD = Board(
    "millrace-letters",
    "Millrace / Dead letters",
    "What could not be worked, why, and what came close to it?",
    "Open it when there are dead letters, and once a day to see that there are none.",
    (NOW, EVENTS, faults.AGE, MESSAGES),
    (JOB, TYPE),
)
