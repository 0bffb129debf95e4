"""The broker: away, in alarm, full, without consumers."""

from __future__ import annotations

from tests.monitoring.cases.case import Case

WORKER = 'job="millrace-worker",instance="w"'
QUEUE = 'rabbitmq_detailed_queue_%s{vhost="/",queue="%s",instance="r"}'

CASES = (
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
)
