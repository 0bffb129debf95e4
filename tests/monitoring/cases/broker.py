"""The broker: away, in alarm, full, without consumers."""

from __future__ import annotations

from tests.monitoring.cases.case import Case

WORKER = 'job="millrace-worker",instance="w"'
OURS = 'millrace_queue_info{vhost="/",queue="%s",instance="c"}'
QUEUE = 'rabbitmq_detailed_queue_%s{vhost="/",queue="%s",instance="r"}'

CASES = (
    Case(
        "MillraceBrokerAway",
        {f'millrace_connection_up{{{WORKER},peer="broker"}}': "1x10 0x10"},
        "6m",
        "7m",
        {"job": "millrace-worker"},
        "critical",
        "No process of millrace-worker has a connection.",
    ),
    # Started while it is away: first they have not tried, and then they cannot.
    Case(
        "MillraceBrokerAway",
        {
            'millrace_connection_up{job="millrace-clock",instance="c",peer="broker"}': "NaN+0x10 0x10",
            'millrace_connection_up{job="millrace-clock",instance="d",peer="broker"}': "NaN+0x20",
        },
        "6m",
        "7m",
        {"job": "millrace-clock"},
        "critical",
        "No process of millrace-clock has a connection.",
    ),
    Case("MillraceBrokerAway", {f'millrace_connection_up{{{WORKER},peer="broker"}}': "NaN+0x20"}, "9m"),
    # It is back, and what follows from it ends a little later.
    Case(
        "MillraceBrokerAway",
        {f'millrace_connection_up{{{WORKER},peer="broker"}}': "0x10 1x30"},
        "11m",
        "9m",
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
    # Each alarm by itself, while the others are there and well.
    *(
        Case(
            "MillraceBrokerAlarm",
            {
                f'rabbitmq_alarms_{one}{{instance="r"}}': "0x10 1x10" if one == raised else "0x20"
                for one in ("memory_used_watermark", "free_disk_space_watermark", "file_descriptor_limit")
            },
            "5m30s",
            "7m",
            {"instance": "r", "alarm": said},
            "critical",
            f"The node r: {said}.",
        )
        for raised, said in {
            "memory_used_watermark": "memory",
            "free_disk_space_watermark": "disk",
            "file_descriptor_limit": "file descriptors",
        }.items()
    ),
    Case(
        "MillraceBrokerMemory",
        {
            'rabbitmq_process_resident_memory_bytes{instance="r"}': "79x10 85x40",
            'rabbitmq_resident_memory_limit_bytes{instance="r"}': "100x60",
        },
        "15m",
        "16m",
        {"instance": "r"},
        says="85% of its limit on r.",
    ),
    Case(
        "MillraceBrokerDisk",
        {
            'rabbitmq_disk_space_available_bytes{instance="r"}': "2100000000x10 1073741824x40",
            'rabbitmq_disk_space_available_limit_bytes{instance="r"}': "1000000000x60",
        },
        "15m",
        "16m",
        {"instance": "r"},
        says="1GiB are free on r.",
    ),
    Case(
        "MillraceQueueWithoutConsumers",
        {
            OURS % "reports": "1x40",
            QUEUE % ("consumers", "reports"): "2x10 0x20",
            QUEUE % ("messages_ready", "reports"): "5x40",
        },
        "7m",
        "8m",
        {"queue": "reports", "vhost": "/"},
        "critical",
        "The queue reports in /.",
    ),
    # Queues that nobody is to take, in our virtual host and in another; one of ours that has nothing to do.
    Case(
        "MillraceQueueWithoutConsumers",
        {
            OURS % "events": "1x40",
            OURS % "http": "1x40",
            QUEUE % ("consumers", "http"): "0x40",
            QUEUE % ("messages_ready", "http"): "0x40",
            QUEUE % ("consumers", "dead"): "0x40",
            QUEUE % ("messages_ready", "dead"): "5x40",
            QUEUE % ("consumers", "of-another-application"): "0x40",
            QUEUE % ("messages_ready", "of-another-application"): "5x40",
            (QUEUE % ("consumers", "events")).replace('"/"', '"elsewhere"'): "0x40",
            (QUEUE % ("messages_ready", "events")).replace('"/"', '"elsewhere"'): "5x40",
        },
        "15m",
    ),
    Case(
        "MillraceBrokerUnwatched",
        {OURS % "events": "1x200", QUEUE % ("consumers", "events"): "2x10 _x190"},
        "40m",
        "50m",
        {},
        "info",
        "There are 1 work queues, and no rabbitmq_detailed_queue_consumers of any of them.",
    ),
    Case(
        "MillraceBrokerUnwatched",
        {OURS % "events": "1x200", QUEUE % ("consumers", "events"): "0x200"},
        "90m",
    ),
    Case(
        "MillraceUnroutable",
        {
            "rabbitmq_global_messages_unroutable_returned_total": "0x10 4x40",
            "rabbitmq_global_messages_unroutable_dropped_total": "0+1x60",
            'millrace_tickets_published_total{outcome="unconfirmed"}': "0x10 4x40",
        },
        "5m",
        "6m",
        {},
        "critical",
        "4 in 10 minutes.",
    ),
    # What is not confirmed for another reason; and those of another application, while ours are all confirmed.
    Case(
        "MillraceUnroutable",
        {
            "rabbitmq_global_messages_unroutable_returned_total": "9x60",
            'millrace_tickets_published_total{outcome="unconfirmed"}': "0+4x60",
        },
        "20m",
    ),
    Case(
        "MillraceUnroutable",
        {
            "rabbitmq_global_messages_unroutable_returned_total": "0+4x60",
            'millrace_tickets_published_total{outcome="unconfirmed"}': "9x60",
            'millrace_tickets_published_total{outcome="confirmed"}': "0+9x60",
        },
        "20m",
    ),
    Case(
        "MillraceRedeliveryStorm",
        {
            'millrace_tickets_redelivered_total{type="a.b"}': "0x20 0+20x60",
            'millrace_tickets_started_total{type="a.b"}': "0+100x80",
        },
        "25m30s",
        "40m",
        says="20% of the tickets.",
    ),
    # A few in a quiet night, eight in ten minutes; and another application's.
    Case(
        "MillraceRedeliveryStorm",
        {
            'millrace_tickets_redelivered_total{type="a.b"}': "0x20 0+0.4x80",
            'millrace_tickets_started_total{type="a.b"}': "0x20 0+0.4x80",
            "rabbitmq_global_messages_redelivered_total": "0x20 0+20x60",
            "rabbitmq_global_messages_delivered_total": "0+100x80",
        },
        "40m",
    ),
    Case(
        "MillraceQuorumDegraded",
        {'rabbitmq_unreachable_cluster_peers_count{instance="r"}': "0x10 1x20"},
        "7m",
        "8m",
        {},
        "critical",
        "Missing nodes: 1.",
    ),
    # RabbitMQ 3.10 does not tell: one of its nodes cannot be scraped, and others can.
    Case(
        "MillraceQuorumDegraded",
        {'up{job="rabbitmq",instance="r"}': "1x10 0x20", 'up{job="rabbitmq",instance="s"}': "1x30"},
        "7m",
        "8m",
        {},
        "critical",
        "Missing nodes: 1.",
    ),
    Case("MillraceQuorumDegraded", {'up{job="rabbitmq",instance="r"}': "1x10 0x20"}, "12m"),
)
