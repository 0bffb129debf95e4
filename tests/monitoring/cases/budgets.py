"""Budgets: posts that fail, events that begin late, types that miss their objective."""

from __future__ import annotations

from tests.monitoring.cases.case import Case

POST = 'millrace_http_requests_total{method="POST",route="/v1/events/<name>",code="%s"}'
START = 'millrace_event_start_latency_seconds_%s{type="numbers.requested"%s}'
#: Every clock reads all of them.
TALLIED = 'millrace_events_tallied_total{type="numbers.requested",word="%s",instance="%s"}'

#: Half of the events are begun late, from six hours on; two in a hundred, all the time.
LATE = {START % ("count", ""): "0+100x800", START % ("bucket", ',le="5.0"'): "0+100x720 72000+50x80"}
LATE_FOR_LONG = {START % ("count", ""): "0+1000x900", START % ("bucket", ',le="5.0"'): "0+980x900"}


def counter(phases: tuple[tuple[int, float], ...]) -> str:
    """A counter that grows by so much every half a minute, for so many minutes."""
    parts, value = [], 0.0
    for minutes, each in phases:
        parts.append(f"{value:g}+{each:g}x{2 * minutes - 1}")
        value += each * 2 * minutes
    return " ".join(parts)


def posts(good: str, _every: str, bad: str) -> dict[str, str]:
    """What doors count of posts, by counters of the good, of all and of the bad ones."""
    return {POST % 202: good, POST % 503: bad}


def starts(good: str, every: str, _bad: str) -> dict[str, str]:
    """What workers count of starts."""
    return {START % ("count", ""): every, START % ("bucket", ',le="5.0"'): good}


def outcomes(good: str, _every: str, bad: str) -> dict[str, str]:
    """What a clock reads of outcomes."""
    return {TALLIED % ("done", "c"): good, TALLIED % ("dead", "c"): bad}


#: What may be bad, by alert, and how it is counted.
ALLOWED = {
    "MillraceAcceptBudgetBurn": (0.0005, posts),
    "MillraceStartBudgetBurn": (0.01, starts),
    "MillraceObjectiveStartBurn": (0.01, starts),
    "MillraceObjectiveSuccessBurn": (0.001, outcomes),
}
#: Stories in which no budget burns, each by one limit alone: (minutes, times what is allowed), and when to look.
CLOSE = (
    (((180, 0), (15, 60), (10, 12)), "3h24m"),  # It burned, and not so much in the last five minutes.
    (((60, 0), (60, 10)), "1h56m"),  # It burns, and has not for long enough to be much of six hours.
    (((20, 40), (40, 5)), "54m"),  # It burned, and not so much in the last half an hour.
    (((360, 0), (150, 5)), "8h16m"),  # Little by little, and not for long enough to be much of three days.
    (((60, 5), (340, 0.4)), "6h30m"),  # It did so, and not so much in the last six hours.
)
EACH = 1000  #: posts, starts or outcomes in half a minute


def close(alert: str, story: tuple[tuple[int, float], ...], at: str) -> Case:
    """A case of ``CLOSE``."""
    allowed, counted = ALLOWED[alert]
    bad = tuple((minutes, times * allowed * EACH) for minutes, times in story)
    good = tuple((minutes, EACH - each) for minutes, each in bad)
    every = tuple((minutes, EACH) for minutes, _ in story)
    return Case(alert, counted(counter(good), counter(every), counter(bad)), at)


def few(alert: str) -> Case:
    """Four of forty in a quiet night."""
    good, bad = ((360, 0.05), (2, 0), (20, 0.05)), ((360, 0), (2, 1), (20, 0))
    every = ((360, 0.05), (2, 1), (20, 0.05))
    return Case(alert, ALLOWED[alert][1](counter(good), counter(every), counter(bad)), "6h4m")


CASES = (
    *(close(alert, story, at) for alert in ALLOWED for story, at in CLOSE),
    *(few(alert) for alert in ALLOWED),
    Case(
        "MillraceAcceptBudgetBurn",
        {POST % 202: "0+100x800", POST % 503: "0x720 10+10x80", POST % 400: "0+9000x800"},
        "6h6m",
        "6h20m",
        severity="critical",
        says="3.226% of the posts were answered 5xx; 0.05 % are allowed.",
    ),
    Case(
        "MillraceAcceptBudgetBurn",
        {POST % 202: "0+1000x900", POST % 503: "0+1x900"},
        "1h",
        "2h",
        says="0.0999% of the posts of three days were answered 5xx; 0.05 % are allowed.",
    ),
    Case("MillraceAcceptBudgetBurn", {POST % 400: "0+100x300", POST % 422: "0+100x300"}, "2h"),
    Case(
        "MillraceStartBudgetBurn",
        LATE,
        "6h18m",
        "6h20m",
        severity="critical",
        says="17.08% of the events were begun more than 5 s after they were due; 1 % is allowed.",
    ),
    Case(
        "MillraceStartBudgetBurn",
        LATE_FOR_LONG,
        "1h",
        "2h",
        says="2% of the events of three days were begun more than 5 s after they were due; 1 % is allowed.",
    ),
    Case(
        "MillraceObjectiveStartBurn",
        LATE,
        "6h18m",
        "6h20m",
        {"type": "numbers.requested"},
        "critical",
        says="17.08% of numbers.requested were begun more than 5 s after they were due; 1 % may be.",
    ),
    Case(
        "MillraceObjectiveStartBurn",
        LATE_FOR_LONG,
        "1h",
        "2h",
        {"type": "numbers.requested"},
        says="2% of numbers.requested were begun more than 5 s after they were due; 1 % may be.",
    ),
    Case(
        "MillraceObjectiveSuccessBurn",
        {
            TALLIED % (word, clock): values
            for clock in ("c", "d")
            for word, values in {"done": "0+100x800", "retry": "0+90x800", "dead": "0x720 5+5x80"}.items()
        },
        "6h18m",
        "6h20m",
        {"type": "numbers.requested"},
        "critical",
        says="1.639% of numbers.requested did not succeed; 0.1 % may not.",
    ),
    # No worker takes them, and clocks let them expire.
    Case(
        "MillraceObjectiveSuccessBurn",
        {TALLIED % ("done", "c"): "0+1x720 720x80", TALLIED % ("expired", "c"): "0x720 0+1x80"},
        "6h4m",
        "6h20m",
        {"type": "numbers.requested"},
        "critical",
        says="32.77% of numbers.requested did not succeed; 0.1 % may not.",
    ),
    Case(
        "MillraceObjectiveSuccessBurn",
        {TALLIED % ("done", "c"): "0+1000x900", TALLIED % ("expired", "c"): "0+3x900"},
        "1h",
        "2h",
        {"type": "numbers.requested"},
        says="0.2991% of numbers.requested did not succeed; 0.1 % may not.",
    ),
)
