"""Budgets: posts that fail, events that begin late, types that miss their objective."""

from __future__ import annotations

from tests.monitoring.cases.case import Case

POST = 'millrace_http_requests_total{method="POST",route="/v1/events/<name>",code="%s"}'
START = 'millrace_event_start_latency_seconds_%s{type="numbers.requested"%s}'
#: Every clock reads all of them.
TALLIED = 'millrace_events_tallied_total{type="numbers.requested",word="%s",instance="%s"}'

CASES = (
    Case(
        "MillraceAcceptBudgetBurn",
        {POST % 202: "0+100x800", POST % 503: "0x720 10+10x80", POST % 400: "0+9000x800"},
        "6h",
        "6h20m",
        severity="critical",
        says="3.226% of the posts were answered 5xx; 0.05 % are allowed.",
    ),
    Case(
        "MillraceAcceptBudgetBurn",
        {POST % 202: "0+1000x900", POST % 503: "0+1x900"},
        "30m",
        "2h",
        says="0.0999% of the posts of three days were answered 5xx; 0.05 % are allowed.",
    ),
    # One in a quiet night.
    Case("MillraceAcceptBudgetBurn", {POST % 202: "0+1x800", POST % 503: "0x720 1x80"}, "6h4m"),
    Case("MillraceAcceptBudgetBurn", {POST % 400: "0+100x300", POST % 422: "0+100x300"}, "2h"),
    Case(
        "MillraceStartBudgetBurn",
        {START % ("count", ""): "0+100x800", START % ("bucket", ',le="5.0"'): "0+100x720 72000+50x80"},
        "6h",
        "6h20m",
        severity="critical",
        says="17.08% of the events were begun more than 5 s after they were due; 1 % is allowed.",
    ),
    Case(
        "MillraceStartBudgetBurn",
        {START % ("count", ""): "0+1000x900", START % ("bucket", ',le="5.0"'): "0+980x900"},
        "30m",
        "2h",
        says="2% of the events of three days were begun more than 5 s after they were due; 1 % is allowed.",
    ),
    Case(
        "MillraceStartBudgetBurn",
        {START % ("count", ""): "0+1x9 9x711 9+1x80", START % ("bucket", ',le="5.0"'): "0+1x9 9x713 9+1x78"},
        "6h6m",
    ),
    Case(
        "MillraceObjectiveStartBurn",
        {START % ("count", ""): "0+1x9 9x711 9+1x80", START % ("bucket", ',le="5.0"'): "0+1x9 9x713 9+1x78"},
        "6h6m",
    ),
    Case(
        "MillraceObjectiveStartBurn",
        {START % ("count", ""): "0+100x800", START % ("bucket", ',le="5.0"'): "0+100x720 72000+50x80"},
        "6h",
        "6h20m",
        {"type": "numbers.requested"},
        "critical",
        says="17.08% of numbers.requested were begun more than 5 s after they were due; 1 % may be.",
    ),
    Case(
        "MillraceObjectiveStartBurn",
        {START % ("count", ""): "0+1000x900", START % ("bucket", ',le="5.0"'): "0+980x900"},
        "30m",
        "2h",
        {"type": "numbers.requested"},
        says="2% of numbers.requested were begun more than 5 s after they were due; 1 % may be.",
    ),
    Case(
        "MillraceObjectiveSuccessBurn",
        {TALLIED % ("done", "c"): "0+0.25x800", TALLIED % ("dead", "c"): "0x720 1x80"},
        "6h4m",
    ),
    Case(
        "MillraceObjectiveSuccessBurn",
        {
            TALLIED % (word, clock): values
            for clock in ("c", "d")
            for word, values in {"done": "0+100x800", "retry": "0+90x800", "dead": "0x720 5+5x80"}.items()
        },
        "6h",
        "6h20m",
        {"type": "numbers.requested"},
        "critical",
        says="1.639% of numbers.requested did not succeed; 0.1 % may not.",
    ),
    # No worker takes them, and clocks let them expire.
    Case(
        "MillraceObjectiveSuccessBurn",
        {TALLIED % ("done", "c"): "0+1x720 720x80", TALLIED % ("expired", "c"): "0x720 0+1x80"},
        "6h",
        "6h20m",
        {"type": "numbers.requested"},
        "critical",
        says="32.77% of numbers.requested did not succeed; 0.1 % may not.",
    ),
    Case(
        "MillraceObjectiveSuccessBurn",
        {TALLIED % ("done", "c"): "0+1000x900", TALLIED % ("expired", "c"): "0+3x900"},
        "30m",
        "2h",
        {"type": "numbers.requested"},
        says="0.2991% of numbers.requested did not succeed; 0.1 % may not.",
    ),
)
