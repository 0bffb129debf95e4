"""Clocks: none, one that stalls, one that is late, and what they are to keep."""

from __future__ import annotations

from tests.monitoring.cases.case import Case

DUTY = 'millrace_duty_last_success_timestamp_seconds{job="millrace-clock",instance="%s",duty="%s"}'
EXPECTED = 'millrace_schedule_expected_timestamp_seconds{instance="c",schedule="hourly"}'
SUCCEEDED = 'millrace_schedule_last_success_timestamp_seconds{instance="c",schedule="hourly"}'
CLOCK = 'job="millrace-clock",instance="c"'
IS_CLOCK = 'millrace_build_info{job="millrace-clock",instance="%s",role="clock"}'


def begun(alert: str, duty: str, says: str) -> tuple[Case, Case]:
    """Clocks were started: none of them has come to a duty; one of two has."""
    none = {DUTY % ("c", duty): "NaN+0x30", f"up{{{CLOCK}}}": "0x10 1x20"}
    one = {DUTY % ("c", duty): "NaN+0x30", f"up{{{CLOCK}}}": "1x30"}
    one |= {DUTY % ("d", duty): "0+30x30", 'up{job="millrace-clock",instance="d"}': "1x30"}
    return Case(alert, none, "7m", "8m", {}, "critical", says), Case(alert, one, "12m")


CASES = (
    Case(
        "MillraceNoClock",
        {IS_CLOCK % "c": "1x10 stale"},
        "6m",
        "7m",
        {},
        "critical",
        "Events that are posted are worked all the same.",
    ),
    Case(
        "MillraceNoClock",
        {'millrace_build_info{job="millrace-web",instance="w",role="web"}': "1x20"},
        "30s",
        "3m",
        {},
        "critical",
        "Events that are posted are worked all the same.",
    ),
    Case("MillraceNoClock", {IS_CLOCK % "c": "1x5 stale", IS_CLOCK % "d": "1x20"}, "7m"),
    Case(
        "MillraceTicksStall",
        {DUTY % ("c", "slots"): "0+30x10 300x20"},
        "6m",
        "7m",
        {},
        "critical",
        "The last look was 2m 0s ago.",
    ),
    Case("MillraceTicksStall", {DUTY % ("c", "slots"): "0x30", DUTY % ("d", "slots"): "0+30x30"}, "9m"),
    *begun("MillraceTicksStall", "slots", "None of 1 clocks has looked since it was started."),
    Case(
        "MillraceReleaseStalls",
        {DUTY % ("c", "release"): "0+30x10 300x20"},
        "6m30s",
        "8m",
        {},
        "critical",
        "The last round was 3m 0s ago.",
    ),
    *begun("MillraceReleaseStalls", "release", "None of 1 clocks has published since it was started."),
    Case(
        "MillraceUpkeepStalls",
        {DUTY % ("c", "keys"): "0+30x10 300x60"},
        "20m",
        "25m",
        {"duty": "keys"},
        says="No clock has done keys for 20m 0s.",
    ),
    Case(
        "MillraceUpkeepStalls",
        {
            'millrace_duty_failures_total{duty="keys"}': "0+1x60",
            DUTY % ("c", "keys"): "_x60",
            'millrace_duty_failures_total{duty="tallies"}': "0+1x60",
            DUTY % ("c", "tallies"): "0+30x60",
        },
        "6m30s",
        "20m",
        {"duty": "keys"},
        says="keys has failed 20 times in 10 minutes.",
    ),
    # It fails now and then, and has been done.
    Case(
        "MillraceUpkeepStalls",
        {'millrace_duty_failures_total{duty="tallies"}': "0+1x60", DUTY % ("c", "tallies"): "0+30x60"},
        "20m",
    ),
    Case(
        "MillraceClockLate",
        {"millrace_clock_lateness_seconds": "9x10 40x20"},
        "6m",
        "8m",
        {},
        "critical",
        "It is late by 40s.",
    ),
    # A clock that cannot look has no number to tell; another one's counts.
    Case(
        "MillraceClockLate",
        {
            f"millrace_clock_lateness_seconds{{{CLOCK}}}": "NaN+0x40",
            'millrace_clock_lateness_seconds{instance="d"}': "0x40",
        },
        "15m",
    ),
    Case(
        "MillraceScheduleStale",
        {EXPECTED: "300+30x10 600x60", SUCCEEDED: "600x60"},
        "14m",
    ),
    Case(
        "MillraceScheduleStale",
        {EXPECTED: "300+30x60", SUCCEEDED: "600x60"},
        "20m",
        "21m",
        {"schedule": "hourly"},
        says="hourly was due three times since its last success.",
    ),
    # It has never succeeded.
    Case(
        "MillraceScheduleStale",
        {EXPECTED: "0x10 300x60", SUCCEEDED: "NaN+0x70"},
        "20m",
        "21m",
        {"schedule": "hourly"},
        says="hourly was due three times since its last success.",
    ),
    # Those that users made are told by their number; a clock that cannot look has none.
    Case(
        "MillraceScheduleStale",
        {
            f"millrace_schedules_stale{{{CLOCK}}}": "0x10 2x50",
            'millrace_schedules_stale{instance="d"}': "NaN+0x60",
        },
        "20m",
        "21m",
        says="2 of those that were made at run time were due three times since their last success.",
    ),
    Case("MillraceScheduleStale", {f"millrace_schedules_stale{{{CLOCK}}}": "0x10 2x20 0x30"}, "25m"),
    # It is paused, or was not due so often yet.
    Case("MillraceScheduleStale", {EXPECTED: "NaN+0x60", SUCCEEDED: "600x60"}, "25m"),
    Case(
        "MillracePartitionsRunOut",
        {f"millrace_partitions_ahead{{{CLOCK}}}": "NaN+0x60", 'millrace_partitions_ahead{instance="d"}': "4x10 2x40"},
        "15m",
        "16m",
        says="There are partitions for 2 more days.",
    ),
    Case(
        "MillracePartitionsRunOut",
        {"millrace_partitions_ahead": "4x10 2x40"},
        "15m",
        "16m",
        says="There are partitions for 2 more days.",
    ),
    Case(
        "MillraceRetentionStalls",
        {"millrace_retention_overdue_days": "2x10 4x180"},
        "1h5m",
        "80m",
        says="4 days should have gone.",
    ),
    Case(
        "MillraceEventsUnpartitioned",
        {"millrace_events_unpartitioned": "0x10 7x40"},
        "15m",
        "16m",
        says="7 events came on days that had no partition.",
    ),
)
