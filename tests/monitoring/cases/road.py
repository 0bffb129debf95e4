"""The road: the canary, what waits, what is not published, the ledger."""

from __future__ import annotations

from tests.monitoring.cases.case import Case

WAITS = 'millrace_oldest_waiting_seconds{instance="c",queue="events",type="a.b"}'
QUEUE = 'rabbitmq_detailed_queue_%s{vhost="/",queue="%s",instance="r"}'
CLOCK = 'job="millrace-clock",instance="c"'

CASES = (
    Case(
        "MillraceCanaryLost",
        {'millrace_canary_lost_total{queue="events",reason="late",instance="c"}': "0x20 1+1x20"},
        "10m",
        "15m",
        {"queue": "events"},
        "critical",
        says="10 were lost in 10 minutes on the queue events.",
    ),
    Case(
        "MillraceCanarySlow",
        {
            'millrace_canary_latency_seconds_bucket{queue="events",le="5.0"}': "0+2x20 40x40",
            'millrace_canary_latency_seconds_bucket{queue="events",le="10.0"}': "0+2x60",
            'millrace_canary_latency_seconds_bucket{queue="events",le="+Inf"}': "0+2x60",
        },
        "10m",
        "25m",
        {"queue": "events"},
        says="One in ten takes more than 9.5s through the queue events.",
    ),
    Case(
        "MillraceOldestEventWaits",
        {WAITS: "30x9 90x20"},
        "8m",
        "11m",
        {"queue": "events", "type": "a.b"},
        says="The oldest of a.b on the queue events has waited for 1m 30s.",
    ),
    Case(
        "MillraceOldestEventWaits",
        {WAITS: "0x3 700x20", WAITS.replace('"c"', '"d"'): "0x40"},
        "3m",
        "9m",
        {"queue": "events", "type": "a.b"},
        "critical",
        says="The oldest of a.b on the queue events has waited for 11m 40s.",
    ),
    Case(
        "MillraceBacklogGrows",
        {"millrace_tickets_due": "900x40 900+100x60", "millrace_tickets_out": "0x100"},
        "20m",
        "40m",
        says="4.8k tickets wait.",
    ),
    Case("MillraceBacklogGrows", {"millrace_tickets_due": "90000-100x80", "millrace_tickets_out": "0x100"}, "40m"),
    Case(
        "MillraceEventsWithoutTicket",
        {"millrace_events_without_ticket": "0x10 3x20"},
        "5m",
        "8m",
        {},
        "critical",
        "3 were found.",
    ),
    Case(
        "MillraceTicketsNotPublished",
        {
            "millrace_tickets_due": "5x60",
            'millrace_tickets_published_total{outcome="confirmed"}': "0+1x20 20x40",
            'millrace_tickets_published_total{outcome="unconfirmed"}': "0+1x60",
        },
        "14m",
        "25m",
        {},
        "critical",
        "5 tickets are due.",
    ),
    Case(
        "MillraceTicketsOverdue",
        {"millrace_tickets_overdue": "7x80", QUEUE % ("messages_ready", "events"): "9x20 0x60"},
        "20m",
        "30m",
        says="7 tickets are overdue.",
    ),
    Case(
        "MillracePublishFails",
        {
            'millrace_tickets_published_total{outcome="confirmed"}': "0+90x60",
            'millrace_tickets_published_total{outcome="unconfirmed"}': "0x20 0+10x40",
        },
        "9m",
        "25m",
        says="10% of the tickets were not confirmed.",
    ),
    Case(
        "MillraceLedgerAway",
        {f'millrace_connection_up{{{CLOCK},peer="ledger"}}': "1x10 0x10"},
        "5m",
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
    Case(
        "MillraceServerErrors",
        {'millrace_http_requests_total{route="/v1/types",code="500"}': "0x10 1x20"},
        "5m",
        "6m",
        {"route": "/v1/types"},
        says="1 in 10 minutes at /v1/types.",
    ),
)
