"""Workers, and what becomes of the events in their hands."""

from __future__ import annotations

from tests.monitoring.cases.case import Case

WORKER = 'job="millrace-worker",instance="w"'
IS_WORKER = 'millrace_build_info{job="millrace-worker",instance="%s",role="%s"}'
PROGRESS = f"millrace_worker_last_progress_timestamp_seconds{{{WORKER}}}"

CASES = (
    Case(
        "MillraceNoWorkers",
        {IS_WORKER % ("w", "worker"): "1x10 stale"},
        "6m",
        "7m",
        {},
        "critical",
        "Events are accepted, and wait.",
    ),
    # A second web has taken the port at which a worker is looked for.
    Case(
        "MillraceNoWorkers",
        {IS_WORKER % ("w", "worker"): "1x10 stale", IS_WORKER % ("w", "web"): "_x10 1x10"},
        "6m",
        "7m",
        {},
        "critical",
        "Events are accepted, and wait.",
    ),
    # One that cannot reach its broker is alive.
    Case(
        "MillraceNoWorkers",
        {IS_WORKER % ("w", "worker"): "1x20", f'millrace_connection_up{{{WORKER},peer="broker"}}': "0x20"},
        "9m",
    ),
    Case(
        "MillraceWorkerNoProgress",
        {
            PROGRESS: "0+30x10 300x40",
            f"millrace_worker_tickets_running{{{WORKER}}}": "2x60",
            f"millrace_worker_hard_limit_seconds{{{WORKER}}}": "90x60",
        },
        "11m",
        "12m",
        {"job": "millrace-worker", "instance": "w"},
        says="w has finished nothing for 7m 0s.",
    ),
    Case(
        "MillraceWorkerNoProgress",
        {
            PROGRESS: "0x60",
            f"millrace_worker_tickets_running{{{WORKER}}}": "0x60",
            f"millrace_worker_hard_limit_seconds{{{WORKER}}}": "90x60",
        },
        "20m",
    ),
    # A handler may take half an hour, and takes ten minutes; and then it hangs.
    Case(
        "MillraceWorkerNoProgress",
        {
            PROGRESS: "0x20 600x100",
            f"millrace_worker_tickets_running{{{WORKER}}}": "1x120",
            f"millrace_worker_hard_limit_seconds{{{WORKER}}}": "1800x120",
        },
        "42m",
        "43m",
        {"job": "millrace-worker", "instance": "w"},
        says="w has finished nothing for 33m 0s.",
    ),
    Case(
        "MillraceWorkersDie",
        {'millrace_worker_children_lost_total{type="a.b"}': "0x20 1+1x9"},
        "11m30s",
        "13m",
        {"type": "a.b"},
        says="6 in 10 minutes while they worked a.b.",
    ),
    # One that took twenty tickets along.
    Case(
        "MillraceWorkersDie",
        {
            'millrace_worker_children_lost_total{type="a.b"}': "0x20 1x40",
            'millrace_tickets_failed_total{type="a.b",outcome="worker_lost"}': "0x20 20x40",
        },
        "13m",
    ),
    Case(
        "MillraceTicketsFail",
        {'millrace_tickets_failed_total{type="a.b",outcome="time_limit"}': "0x20 4+4x9"},
        "11m",
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
        "26m30s",
        "40m",
        {"type": "a.b"},
        says="40% of the attempts of a.b.",
    ),
    # One event at night: two attempts fail within a minute, the third does not.
    *(
        Case(
            "MillraceRetryStorm",
            {
                'millrace_events_finished_total{type="a.b",outcome="done"}': "0x24 1x40",
                'millrace_events_finished_total{type="a.b",outcome="retry"}': "0x20 1x1 2x40",
            },
            at,
        )
        for at in ("20m30s", "21m")
    ),
    # A few at night: eight in ten minutes.
    Case(
        "MillraceRetryStorm",
        {
            'millrace_events_finished_total{type="a.b",outcome="done"}': "0x20 0+0.4x80",
            'millrace_events_finished_total{type="a.b",outcome="retry"}': "0x20 0+0.4x80",
        },
        "40m",
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
    # While the only clock was started again: it takes what is there when it comes for known.
    Case(
        "MillraceDeadLettersArrive",
        {
            'millrace_dead_letters_total{type="a.b",reason="attempts",instance="c"}': "7x10 _x6 0x40",
            'millrace_events_finished_total{type="a.b",outcome="dead",instance="w"}': "7x10 9x40",
        },
        "6m",
        "8m",
        {"type": "a.b"},
        says="2.062 of a.b in 15 minutes, as workers tell; no clock has seen them.",
    ),
    Case(
        "MillraceDeadLettersArrive",
        {
            'millrace_dead_letters_total{type="a.b",reason="attempts",instance="c"}': "0x10 1x40",
            'millrace_events_finished_total{type="a.b",outcome="dead",instance="w"}': "0x9 1x40",
        },
        "5m",
        "8m",
        {"type": "a.b", "reason": "attempts"},
        says="1 of a.b in 15 minutes: attempts.",
    ),
    Case(
        "MillraceDeadLettersOld",
        {'millrace_dead_letters_oldest_seconds{reason="attempts",instance="c"}': "86000+30x200"},
        "1h6m30s",
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
        "6m30s",
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
