"""The ledger: away, refusing, at fault, out of connections."""

from __future__ import annotations

from tests.monitoring.cases.case import Case

CLOCK = 'job="millrace-clock",instance="c"'
FAULTS = 'millrace_ledger_faults_total{job="%s",instance="i",fault="%s"}'

CASES = (
    Case(
        "MillraceLedgerAway",
        {f'millrace_connection_up{{{CLOCK},peer="ledger"}}': "1x10 0x10"},
        "5m30s",
        "7m",
        {},
        "critical",
        "No clock can work in PostgreSQL.",
    ),
    Case(
        "MillraceLedgerAway",
        {
            f'millrace_connection_up{{{CLOCK},peer="ledger"}}': "0x20",
            'millrace_connection_up{job="millrace-clock",instance="d",peer="ledger"}': "1x20",
        },
        "7m",
    ),
    *(
        Case(
            "MillraceLedgerRefuses",
            {FAULTS % ("millrace-web", fault): "0x10 1+1x20"},
            "6m",
            "8m",
            {"fault": fault},
            "critical",
            f"It says {fault}.",
        )
        for fault in ("read_only", "disk_full", "too_many_connections")
    ),
    # A fail-over: some statements of one moment.
    Case(
        "MillraceLedgerRefuses",
        {FAULTS % ("millrace-web", "read_only"): "0x10 7x20", FAULTS % ("millrace-web", "integrity"): "0+9x30"},
        "7m",
    ),
    *(
        Case(
            "MillraceLedgerFaults",
            {FAULTS % ("millrace-worker", fault): "0x20 3+3x40"},
            "18m",
            "25m",
            {"fault": fault},
            says=f"60 in 10 minutes: {fault}.",
        )
        for fault in ("connection", "conflict", "resources")
    ),
    # What handlers bring about by themselves is told of as dead letters.
    Case(
        "MillraceLedgerFaults",
        {FAULTS % ("millrace-worker", fault): "0+9x60" for fault in ("integrity", "data", "timeout", "lock", "other")},
        "25m",
    ),
    Case(
        "MillraceDeadlocks",
        {FAULTS % ("millrace-worker", "deadlock"): "0x20 1+1x40"},
        "15m",
        "25m",
        says="20 deadlocks in 10 minutes.",
    ),
    Case(
        "MillracePoolExhausted",
        {FAULTS % ("millrace-web", "pool"): "0x20 2+2x40", FAULTS % ("millrace-worker", "pool"): "4x60"},
        "13m",
        "20m",
        {"job": "millrace-web"},
        says="20 times in 5 minutes in millrace-web.",
    ),
)
