"""Objectives of event types as rules for Prometheus: recording rules, and alerts on how fast the budget is spent.

Two pairs of windows wake somebody, one makes a ticket, as the Site Reliability Workbook has it (chapter 5): a budget
for 30 days is gone in two days at 14.4 times the rate that it allows, in five at 6 times. Where little comes in, one
failure is a large share: nobody is woken for ``FEW``.
"""

from __future__ import annotations

from collections.abc import Iterable

from service.domain import handlers, objective

FEW = 5  #: failures in the longer window of a pair
#: A share that wakes somebody, however modest the promise: of one that allows a tenth, 14.4 times it can never be.
MOST = 0.9
WINDOWS = ("5m", "30m", "1h", "6h", "3d")
#: What stands before the addresses of an alert: external labels of Prometheus (monitoring/prometheus/prometheus.yml).
RUNBOOKS = '{{ or $externalLabels.millrace_runbooks "docs/runbooks" }}'
DASHBOARD = "{{ $externalLabels.millrace_dashboards }}/d/millrace-overview"

HEAD = """\
# Generated from the objectives that handlers declare; change those, not this file.
# `millrace objectives` prints it for the apps that MILLRACE_APPS names.
groups:
"""
EMPTY = "  []  # No handler declares an objective.\n"

START = """\
1 - sum(rate(millrace_event_start_latency_seconds_bucket{{type="{type}",le="{start}"}}[{window}]))
/ sum(rate(millrace_event_start_latency_seconds_count{{type="{type}"}}[{window}]))"""
# By the ledger's tallies, which have what clocks let expire, too. Every clock reads them all.
SUCCESS = """\
sum(max by (word) (rate(millrace_events_tallied_total{{type="{type}",word=~"dead|expired"}}[{window}])))
/ sum(max by (word) (rate(millrace_events_tallied_total{{type="{type}",word=~"done|dead|expired"}}[{window}])))"""

FAST = """\
(
  {record}1h{{type="{type}"}} > {fast} and {record}5m{{type="{type}"}} > {fast}
  and on () {bad_1h} > {few}
) or (
  {record}6h{{type="{type}"}} > {slower} and {record}30m{{type="{type}"}} > {slower}
  and on () {bad_6h} > {few}
)"""
#: How many were bad.
BAD = {
    "Start": """\
(sum(increase(millrace_event_start_latency_seconds_count{{type="{type}"}}[{window}]))
  - sum(increase(millrace_event_start_latency_seconds_bucket{{type="{type}",le="{start}"}}[{window}])))""",
    "Success": (
        'sum(max by (word) (increase(millrace_events_tallied_total{{type="{type}",word=~"dead|expired"}}[{window}])))'
    ),
}
SLOW = """\
{record}3d{{type="{type}"}} > {budget} and {record}6h{{type="{type}"}} > {budget}"""

SUMMARIES = {
    "Start": "Events of a type are begun later than was promised.",
    "Success": "More events of a type fail than was promised.",
}


def rules(registry: Iterable[handlers.Handler]) -> str:
    """The file of rules, as YAML, for all handlers that have an objective."""
    groups = [_group(one.type, one.objective) for one in registry if one.objective is not None]
    return HEAD + ("".join(groups) or EMPTY)


def _group(type_name: str, promised: objective.Objective) -> str:
    start, success = _number(1 - promised.p), _number(1 - promised.success)
    described = {
        "Start": f"were begun more than {promised.seconds:g} s after they were due; {_percent(start)} % may be.",
        "Success": f"did not succeed; {_percent(success)} % may not.",
    }
    lines = [f"  - name: millrace-objective-{type_name}", "    rules:"]
    for window in WINDOWS:
        values = {"type": type_name, "start": promised.seconds, "window": window}
        lines += _recorded(f"millrace:objective_start_bad:ratio_rate{window}", START.format(**values), type_name)
        lines += _recorded(f"millrace:objective_success_bad:ratio_rate{window}", SUCCESS.format(**values), type_name)
    for word, budget in (("Start", start), ("Success", success)):
        record = f"millrace:objective_{word.lower()}_bad:ratio_rate"
        values = {"type": type_name, "start": promised.seconds}
        bad = {f"bad_{window}": BAD[word].format(**values, window=window) for window in ("1h", "6h")}
        for form, pause, severity in ((FAST, "2m", "critical"), (SLOW, "1h", "warning")):
            limits = {"budget": budget, "fast": _times(14.4, budget), "slower": _times(6, budget)}
            expression = form.format(record=record, type=type_name, few=FEW, **limits, **bad)
            lines += _alert(
                f"MillraceObjective{word}Burn", expression, pause, severity, SUMMARIES[word], described[word]
            )
    return "\n".join(lines) + "\n"


def _recorded(name: str, expression: str, type_name: str) -> list[str]:
    return [f"      - record: {name}", *_expression(expression), "        labels:", f"          type: {type_name}"]


def _alert(name: str, expression: str, pause: str, severity: str, summary: str, described: str) -> list[str]:
    share, type_name = "{{ $value | humanizePercentage }}", "{{ $labels.type }}"
    return [
        f"      - alert: {name}",
        *_expression(expression),
        f"        for: {pause}",
        "        labels:",
        f"          severity: {severity}",
        "        annotations:",
        f'          summary: "{summary}"',
        f'          description: "{share} of {type_name} {described}"',
        f"          runbook_url: '{RUNBOOKS}/{name}.md'",
        f"          dashboard_url: '{DASHBOARD}'",
    ]


def _expression(text: str) -> list[str]:
    return ["        expr: |", *(f"          {line}" for line in text.split("\n"))]


def _number(share: float) -> str:
    """A share without the noise of binary fractions: 0.01 and not 0.010000000000000009."""
    return f"{share:.10f}".rstrip("0")


def _times(factor: float, budget: str) -> str:
    """So many times a budget, but no more than ``MOST``; a budget beyond that is its own limit."""
    return f"{factor:g} * {budget}" if factor * float(budget) < MOST else str(max(MOST, float(budget)))


def _percent(share: str) -> str:
    return f"{float(share) * 100:.10f}".rstrip("0").rstrip(".")
