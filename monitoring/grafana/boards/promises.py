"""Each type on the overview: what was promised for it, and how fast its budget is spent."""

from __future__ import annotations

from monitoring.grafana.ask import highest, highest_rate, highest_total, ratio
from monitoring.grafana.model import ORANGE, RED, YELLOW, Kind, Limit, Panel, Query, Row

TALLIED = "millrace_events_tallied_total"  #: clocks let ticks expire, which no worker sees
ENDED = 'word=~"done|dead|expired"'


def _promised(objective: str) -> str:
    """Of the types that have an objective; it is NaN for the others."""
    return f"({highest(objective, by='type')} >= 0)"


def _burn(title: str, word: str, objective: str, tells: str) -> Panel:
    spent = f"max by (type) (millrace:objective_{word}_bad:ratio_rate1h)"
    return Panel(
        title,
        f"{tells} At 1 it lasts for just the 30 days.",
        "At 6 somebody should look today, at 14.4 somebody is woken: it would be gone in two days.",
        Kind.GRAPH,
        "suffix: times",
        (Query(f"{spent} / on (type) (1 - {highest(objective, by='type')})", "{{type}}"),),
        (Limit(1, YELLOW), Limit(6, ORANGE), Limit(14.4, RED)),
        width=12,
        quiet="no handler declares an objective, or its rules are not loaded (`millrace objectives` prints them)",
    )


TYPES = Row(
    "Each type",
    (
        Panel(
            "Objectives of the types",
            "What a type's handler promises in its `objective`, and what came of it: the share of events begun"
            " in time in the last hour, and of those that succeeded in the whole time above.",
            "Below what was promised: see Processing for the type. Where somebody waits, give it an objective.",
            Kind.TABLE, "percentunit",
            (
                Query(_promised("millrace_objective_start_seconds"), "To begin within", "s"),
                Query(_promised("millrace_objective_start_ratio"), "Promised"),
                Query("1 - max by (type) (millrace:objective_start_bad:ratio_rate1h)", "Begun in time"),
                Query(_promised("millrace_objective_success_ratio"), "To succeed"),
                Query(
                    ratio(
                        highest_total(TALLIED, 'word="done"', by="type"),
                        f"sum by (type) ({highest_total(TALLIED, ENDED, by='type, word')})",
                    )
                    + f" and on (type) {_promised('millrace_objective_success_ratio')}",
                    "Succeeded",
                ),
            ),
            width=12, quiet="no handler declares an objective",
        ),
        Panel(
            "What the ledger has",
            "Events per second by what happened to them, by the ledger's tallies: nothing that happened is missing.",
            "Its `accepted` and `done` should be those of the graphs above, but for workers that were lost.",
            Kind.GRAPH, "suffix: ev/s",
            (Query(f"sum by (word) ({highest_rate('millrace_events_tallied_total', by='type, word')})", "{{word}}"),),
            width=12,
        ),
        _burn(
            "Budget spent by late starts", "start", "millrace_objective_start_ratio",
            "How fast a type spends what its objective allows to be begun late, in the last hour.",
        ),
        _burn(
            "Budget spent by failures", "success", "millrace_objective_success_ratio",
            "How fast a type spends what its objective allows to fail, in the last hour.",
        ),
    ),
)  # fmt: skip
