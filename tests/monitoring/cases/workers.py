"""Workers, and what becomes of the events in their hands."""

from __future__ import annotations

from tests.monitoring.cases.case import Case

WORKER = 'job="millrace-worker",instance="w"'

CASES = (
    Case(
        "MillraceNoWorkers",
        {f"up{{{WORKER}}}": "1x10 0x10"},
        "5m",
        "7m",
        {},
        "critical",
        "Events are accepted, and wait.",
    ),
    Case(
        "MillraceWorkerNoProgress",
        {
            f"millrace_worker_last_progress_timestamp_seconds{{{WORKER}}}": "0+30x10 300x40",
            f"millrace_worker_tickets_running{{{WORKER}}}": "2x60",
        },
        "9m",
        "12m",
        {"job": "millrace-worker", "instance": "w"},
        says="w has finished nothing for 7m 0s.",
    ),
    Case(
        "MillraceWorkerNoProgress",
        {
            f"millrace_worker_last_progress_timestamp_seconds{{{WORKER}}}": "0x60",
            f"millrace_worker_tickets_running{{{WORKER}}}": "0x60",
        },
        "20m",
    ),
    Case(
        "MillraceWorkersDie",
        {'millrace_tickets_failed_total{type="a.b",outcome="worker_lost"}': "0x20 1+1x9"},
        "10m",
        "13m",
        {"type": "a.b"},
        says="6 in 10 minutes while they worked a.b.",
    ),
    Case(
        "MillraceTicketsFail",
        {'millrace_tickets_failed_total{type="a.b",outcome="time_limit"}': "0x20 4+4x9"},
        "10m",
        "13m",
        {"type": "a.b", "outcome": "time_limit"},
        says="24 of a.b in 10 minutes: time_limit.",
    ),
    Case(
        "MillraceRetryStorm",
        {
            'millrace_events_finished_total{type="a.b",outcome="done"}': "0+60x90",
            'millrace_events_finished_total{type="a.b",outcome="retry"}': "0x20 0+40x70",
            'millrace_events_finished_total{type="a.b",outcome="skipped"}': "0+900x90",
        },
        "15m",
        "40m",
        {"type": "a.b"},
        says="40% of the attempts of a.b.",
    ),
    Case(
        "MillraceDeadLettersArrive",
        {'millrace_dead_letters_total{type="a.b",reason="attempts",instance="c"}': "0x10 1x40"},
        "5m",
        "6m",
        {"type": "a.b", "reason": "attempts"},
        says="1 of a.b in 15 minutes: attempts.",
    ),
    Case(
        "MillraceDeadLettersArrive",
        {'millrace_dead_letters_total{type="a.b",reason="attempts",instance="c"}': "7x40"},
        "15m",
    ),
    Case(
        "MillraceDeadLettersOld",
        {'millrace_dead_letters_oldest_seconds{reason="attempts",instance="c"}': "86000+30x200"},
        "60m",
        "80m",
        {"reason": "attempts"},
        says="The oldest one that became dead by attempts has lain for 1d 1h 13m 20s.",
    ),
    Case(
        "MillraceDeadLettersOld",
        {'millrace_dead_letters_oldest_seconds{reason="attempts",instance="c"}': "0x200"},
        "90m",
    ),
    Case(
        "MillraceTicketsReturned",
        {'millrace_messages_returned_total{owner="ours",reason="rejected"}': "0x10 3+3x10"},
        "5m",
        "9m",
        {"reason": "rejected"},
        says="24 in 15 minutes: rejected.",
    ),
    Case(
        "MillraceStraysArrive",
        {
            'millrace_messages_returned_total{owner="stray",reason="rejected"}': "0x10 1x40",
            'millrace_messages_returned_total{owner="ours",reason="rejected"}': "0+1x40",
        },
        "5m",
        "6m",
        says="1 were filed in 15 minutes.",
    ),
)
