"""What each alert is tried with: series that are well and then are not, when it must be quiet, and when it must tell.

Values are in promtool's short form: ``0+5x10`` begins at 0 and adds 5 ten times, ``_`` is no sample.
"""

from __future__ import annotations

import dataclasses

POST = 'millrace_http_requests_total{method="POST",route="/v1/events/<name>",code="%s"}'
START = 'millrace_event_start_latency_seconds_%s{type="numbers.requested"%s}'
FINISHED = 'millrace_events_finished_total{type="numbers.requested",outcome="%s"}'
DUTY = 'millrace_duty_last_success_timestamp_seconds{job="millrace-clock",instance="%s",duty="%s"}'
WORKER = 'job="millrace-worker",instance="w"'
WAITS = 'millrace_oldest_waiting_seconds{instance="c",queue="events",type="a.b"}'
QUEUE = 'rabbitmq_detailed_queue_%s{vhost="/",queue="%s",instance="r"}'
CLOCK = 'job="millrace-clock",instance="c"'


@dataclasses.dataclass(frozen=True, slots=True)
class Case:
    """One story; a sample each 30 seconds."""

    alert: str
    series: dict[str, str]
    quiet: str = ""  #: when it must be silent, like ``2m``
    fires: str = ""  #: when it must tell; empty: a story that never comes to that
    labels: dict[str, str] = dataclasses.field(default_factory=dict)  #: of the alert, without its severity
    severity: str = "warning"
    says: str = ""  #: the description


CASES = (
    # --- budgets ------------------------------------------------------------------------------------------------
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
        {FINISHED % "done": "0+100x800", FINISHED % "retry": "0+90x800", FINISHED % "dead": "0x720 5+5x80"},
        "6h",
        "6h20m",
        {"type": "numbers.requested"},
        "critical",
        says="1.639% of numbers.requested did not succeed; 0.1 % may not.",
    ),
    Case(
        "MillraceObjectiveSuccessBurn",
        {FINISHED % "done": "0+1000x900", FINISHED % "expired": "0+3x900"},
        "30m",
        "2h",
        {"type": "numbers.requested"},
        says="0.2991% of numbers.requested did not succeed; 0.1 % may not.",
    ),
    # --- the road -----------------------------------------------------------------------------------------------
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
    # --- clocks -------------------------------------------------------------------------------------------------
    Case(
        "MillraceNoClock",
        {f"up{{{CLOCK}}}": "1x10 0x10"},
        "5m",
        "7m",
        {},
        "critical",
        "Events that are posted are worked all the same.",
    ),
    Case(
        "MillraceNoClock",
        {'up{job="millrace-web",instance="w"}': "1x20"},
        "30s",
        "3m",
        {},
        "critical",
        "Events that are posted are worked all the same.",
    ),
    Case("MillraceNoClock", {f"up{{{CLOCK}}}": "0x20", 'up{job="millrace-clock",instance="d"}': "1x20"}, "7m"),
    Case(
        "MillraceTicksStall",
        {DUTY % ("c", "slots"): "0+30x10 300x20"},
        "5m",
        "7m",
        {},
        "critical",
        "The last look was 2m 0s ago.",
    ),
    Case("MillraceTicksStall", {DUTY % ("c", "slots"): "0x30", DUTY % ("d", "slots"): "0+30x30"}, "9m"),
    Case(
        "MillraceReleaseStalls",
        {DUTY % ("c", "release"): "0+30x10 300x20"},
        "5m",
        "8m",
        {},
        "critical",
        "The last round was 3m 0s ago.",
    ),
    Case(
        "MillraceUpkeepStalls",
        {DUTY % ("c", "keys"): "0+30x10 300x60"},
        "14m",
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
        "2m",
        "20m",
        {"duty": "keys"},
        says="keys has failed 20 times in 10 minutes.",
    ),
    Case(
        "MillraceClockLate",
        {"millrace_clock_lateness_seconds": "0x9 2 40x20"},
        "5m",
        "8m",
        {},
        "critical",
        "It is late by 40s.",
    ),
    Case(
        "MillracePartitionsRunOut",
        {"millrace_partitions_ahead": "14x10 2x40"},
        "6m",
        "16m",
        says="There are partitions for 2 more days.",
    ),
    Case(
        "MillraceRetentionStalls",
        {"millrace_retention_overdue_days": "1x10 4x180"},
        "30m",
        "80m",
        says="4 days should have gone.",
    ),
    Case(
        "MillraceEventsUnpartitioned",
        {"millrace_events_unpartitioned": "0x10 7x40"},
        "6m",
        "16m",
        says="7 events came on days that had no partition.",
    ),
    # --- workers ------------------------------------------------------------------------------------------------
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
    # --- the broker ---------------------------------------------------------------------------------------------
    Case(
        "MillraceBrokerAway",
        {f'millrace_connection_up{{{WORKER},peer="broker"}}': "1x10 0x10"},
        "5m",
        "7m",
        {"job": "millrace-worker"},
        "critical",
        "No process of millrace-worker has a connection.",
    ),
    Case(
        "MillraceBrokerAlarm",
        {
            'rabbitmq_alarms_memory_used_watermark{instance="r"}': "0x40",
            'rabbitmq_alarms_free_disk_space_watermark{instance="r"}': "0x40",
            'rabbitmq_alarms_file_descriptor_limit{instance="r"}': "0x40",
        },
        "10m",
    ),
    Case(
        "MillraceBrokerAlarm",
        {
            'rabbitmq_alarms_memory_used_watermark{instance="r"}': "0x10 1x10",
            'rabbitmq_alarms_free_disk_space_watermark{instance="r"}': "0x20",
        },
        "5m",
        "7m",
        {"instance": "r"},
        "critical",
        "The node r.",
    ),
    Case(
        "MillraceBrokerMemory",
        {
            'rabbitmq_process_resident_memory_bytes{instance="r"}': "50x10 85x40",
            'rabbitmq_resident_memory_limit_bytes{instance="r"}': "100x60",
        },
        "14m",
        "16m",
        {"instance": "r"},
        says="85% of its limit on r.",
    ),
    Case(
        "MillraceBrokerDisk",
        {
            'rabbitmq_disk_space_available_bytes{instance="r"}': "9000000000x10 1073741824x40",
            'rabbitmq_disk_space_available_limit_bytes{instance="r"}': "1000000000x60",
        },
        "14m",
        "16m",
        {"instance": "r"},
        says="1GiB are free on r.",
    ),
    Case(
        "MillraceQueueWithoutConsumers",
        {
            QUEUE % ("consumers", "reports"): "2x10 0x20",
            QUEUE % ("messages_ready", "reports"): "5x40",
            QUEUE % ("consumers", "dead"): "0x40",
            QUEUE % ("messages_ready", "dead"): "5x40",
        },
        "5m",
        "8m",
        {"queue": "reports", "vhost": "/"},
        "critical",
        "The queue reports in /.",
    ),
    Case(
        "MillraceUnroutable",
        {
            "rabbitmq_global_messages_unroutable_returned_total": "0x10 4x40",
            "rabbitmq_global_messages_unroutable_dropped_total": "0+1x60",
        },
        "5m",
        "6m",
        {},
        "critical",
        "4 in 10 minutes.",
    ),
    Case(
        "MillraceRedeliveryStorm",
        {
            "rabbitmq_global_messages_redelivered_total": "0x20 0+20x60",
            "rabbitmq_global_messages_delivered_total": "0+100x80",
        },
        "12m",
        "40m",
        says="20% of the deliveries.",
    ),
    Case(
        "MillraceQuorumDegraded",
        {'rabbitmq_unreachable_cluster_peers_count{instance="r"}': "0x10 1x20"},
        "6m",
        "8m",
        {},
        "critical",
        "Missing nodes: 1. (Needs RabbitMQ 3.11.)",
    ),
    # --- the watch ----------------------------------------------------------------------------------------------
    Case(
        "MillraceTargetDown",
        {'up{job="millrace-web",instance="w"}': "1x10 0x20"},
        "7m",
        "9m",
        {"job": "millrace-web", "instance": "w"},
        says="millrace-web w.",
    ),
    Case(
        "MillraceScrapeSlow",
        {'scrape_duration_seconds{job="rabbitmq",instance="r"}': "0.1x10 6x40"},
        "14m",
        "16m",
        {"job": "rabbitmq", "instance": "r"},
        says="6s for rabbitmq r.",
    ),
    Case(
        "MillraceRestartLoop",
        {'process_start_time_seconds{job="millrace-web",instance="w"}': "1x20 2 3 4 5x20"},
        "11m",
        "13m",
        {"job": "millrace-web", "instance": "w"},
        says="4 times in 15 minutes: millrace-web w.",
    ),
    Case(
        "MillraceMixedVersions",
        {
            'millrace_build_info{role="worker",version="1"}': "1x300",
            'millrace_build_info{role="worker",version="2"}': "_x20 1x300",
        },
        "1h",
        "1h15m",
        {"role": "worker"},
        "info",
        "2 versions of worker.",
    ),
    Case("MillraceWatchdog", {"up": "1x5"}, "", "1m", {}, "none", "When it stops, the watch is blind."),
)
