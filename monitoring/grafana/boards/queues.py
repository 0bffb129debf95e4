"""Queues and broker: what waits, who takes it, and how is RabbitMQ?"""

from __future__ import annotations

from monitoring.grafana.ask import canary, highest, rate, ratio, top
from monitoring.grafana.boards import faults
from monitoring.grafana.model import (
    GREEN,
    JOB,
    ORANGE,
    QUEUE,
    RED,
    VHOST,
    YELLOW,
    Board,
    Kind,
    Limit,
    Panel,
    Query,
    Row,
)

#: Other applications on the same RabbitMQ have queues of their own, and perhaps of the same names.
OURS = '{vhost=~"$vhost", queue=~"$queue"}'
SEEN = "nobody has signed in since the broker started"


def _depth(what: str) -> tuple[Query, ...]:
    return (Query(f"sum by (vhost, queue) (rabbitmq_detailed_queue_{what}{OURS})", "{{queue}} {{vhost}}"),)


def _rate(*what: str) -> str:
    return " + ".join(f"sum(rate(rabbitmq_global_{name}[$__rate_interval]))" for name in what)


WAITING = Row(
    "What waits",
    (
        Panel(
            "Tickets in the ledger",
            "Due: they wait to be published; held: those whose type has its window full. Out: with the broker or a"
            " worker. Overdue: out for longer than their patience.",
            "`due` rises: the broker is away or blocks, or no clock runs. `overdue`: workers are missing or behind.",
            Kind.GRAPH, "short",
            (
                *(Query(highest(f"millrace_tickets_{word}"), word) for word in ("due", "held", "out")),
                Query(highest("millrace_tickets_overdue", by="queue"), "overdue: {{queue}}"),
            ),
            (Limit(10_000, ORANGE), Limit(100_000, RED)),
        ),
        Panel(
            "Oldest waiting, by queue",
            "How long the event has waited that has waited longest, of those that are due. What is paused, and was not"
            " published before the pause, does not count.",
            "A number of messages says little, an age says all. It grows as fast as time goes: nobody takes them.",
            Kind.GRAPH, "s", (Query(highest("millrace_oldest_waiting_seconds", by="queue"), "{{queue}}"),),
            (Limit(60, ORANGE), Limit(600, RED)),
        ),
        Panel(
            "Oldest waiting, by type",
            "The same by event type.",
            "One type alone: its window is full, no worker knows it, or its tickets kill their workers.",
            Kind.GRAPH, "s", (Query(top(10, highest("millrace_oldest_waiting_seconds", by="type")), "{{type}}"),),
            (Limit(60, ORANGE), Limit(600, RED)),
        ),
        Panel(
            "Messages that wait",
            "Messages that no worker has taken yet, by queue. Each is a ticket, and names up to a bundle of events.",
            "A queue that grows while others do not: no worker has `-Q` with its name, or its handlers are slow.",
            Kind.GRAPH, "short", _depth("messages_ready"), (Limit(1_000, YELLOW), Limit(10_000, RED)),
        ),
        Panel(
            "Messages in work",
            "Messages that a worker has and has not acked yet: what is worked, and what was fetched ahead.",
            "It stays high and nothing is finished: handlers hang. See Processing.",
            Kind.GRAPH, "short", _depth("messages_unacked"),
        ),
        Panel(
            "Workers of a queue",
            "Consumers by queue: one of each worker, two of one that is busy with quick events.",
            "None for a queue that has messages: start a worker with `-Q` and its name. For one that has none it may be"
            " right. Of `dead` tells Dead letters.",
            Kind.GRAPH, "short", _depth("consumers"), (Limit(1, GREEN),), ground=RED,
        ),
        Panel(
            "In and out",
            "Messages that the broker took and that were acked, per second, of all applications that use it.",
            "`in` above `out` for long: the backlog grows.",
            Kind.GRAPH, "suffix: msg/s",
            (
                Query(_rate("messages_received_total"), "in"),
                Query(_rate("messages_acknowledged_total"), "out"),
            ),
            width=12,
        ),
        Panel(
            "Delivered again",
            "Of the tickets that workers have begun, the share that had been delivered before.",
            "Workers are lost or stopped, or connections break. Harmless for the events, and a sign of trouble.",
            Kind.GRAPH, "percentunit",
            (
                Query(
                    ratio(rate("millrace_tickets_redelivered_total"), rate("millrace_tickets_started_total")),
                    "delivered again",
                ),
            ),
            (Limit(0.01, YELLOW), Limit(0.1, RED)), width=12, top=1,
            quiet="nothing was delivered in the time that is looked at",
        ),
    ),
)  # fmt: skip

CANARY = Row(
    "The canary",
    (
        Panel(
            "How long it takes",
            "Time from sending a synthetic event to reading over HTTP that it was worked; of a tick, from its slot to"
            " its commit. By queue: half of them take at most p50, nine in ten p90.",
            "One queue: its workers. All: the road itself. The alert asks p90, for 5 s.",
            Kind.GRAPH, "s", canary(),
            (Limit(5, ORANGE), Limit(60, RED)), quiet="no canary is sent",
        ),
        Panel(
            "Lost",
            "Canaries that did not arrive, per second: refused at the door, failed, or not worked within a minute.",
            "Any: follow the road from the left, web, broker, worker; the first that is not well is it.",
            Kind.GRAPH, "suffix: /s", (Query(rate("millrace_canary_lost_total", by="queue, reason"),
            "{{queue}}: {{reason}}"),), (Limit(0.001, RED),),
        ),
        Panel(
            "Sent",
            "Canaries that the clocks sent or awaited, per second.",
            "None: no clock runs, or the canary is not set up; then its silence says nothing.",
            Kind.GRAPH, "suffix: /s", (Query(rate("millrace_canary_sent_total", by="queue"), "{{queue}}"),),
        ),
    ),
)  # fmt: skip

TROUBLE = Row(
    "What goes wrong on the broker",
    (
        Panel(
            "Alarms",
            "RabbitMQ's alarms. While memory or disk is short, it takes nothing from any publisher.",
            "Posts are still accepted, and wait in the ledger. Free memory or disk space; see the next row.",
            Kind.STATES, "short",
            (
                Query("max by (instance) (rabbitmq_alarms_memory_used_watermark)", "memory {{instance}}"),
                Query("max by (instance) (rabbitmq_alarms_free_disk_space_watermark)", "disk {{instance}}"),
                Query("max by (instance) (rabbitmq_alarms_file_descriptor_limit)", "descriptors {{instance}}"),
            ),
            (Limit(1, RED),), words=(("0", "well", GREEN), ("1", "alarm", RED)), width=8,
        ),
        Panel(
            "Dead-lettered by reason",
            "Messages that left their queue as dead letters, of all applications on this RabbitMQ. Ours go to `dead`,"
            " where a clock reads them: our tickets are due again.",
            "`delivery limit`: a ticket kills its workers. `rejected`: a message that no worker knows, or a bug.",
            Kind.GRAPH, "suffix: msg/s",
            tuple(
                Query(_rate(f"messages_dead_lettered_{reason}_total"), reason.replace("_", " "))
                for reason in ("rejected", "delivery_limit", "expired", "maxlen")
            ),
            (Limit(0.01, ORANGE), Limit(1, RED)),
        ),
        Panel(
            "Unroutable",
            "Messages for which no queue is bound, and which came back, of all applications on this RabbitMQ. Celery's"
            " own are not in it.",
            "Any while tickets are not confirmed: the topology is not there. Run `millrace topology apply`.",
            Kind.GRAPH, "suffix: msg/s", (Query(_rate("messages_unroutable_returned_total"), "returned"),),
            (Limit(0.001, RED),),
        ),
        Panel(
            "Connections",
            "Connections that are opened and closed, per second.",
            "More than a few: a process starts again and again, or a client connects for each message.",
            Kind.GRAPH, "suffix: /s",
            (
                Query("sum(rate(rabbitmq_connections_opened_total[$__rate_interval]))", "opened"),
                Query("sum(rate(rabbitmq_connections_closed_total[$__rate_interval]))", "closed"),
            ),
            (Limit(5, YELLOW),),
        ),
        Panel(
            "Refused passwords",
            "Attempts to sign in that failed, per second.",
            "After a rotation: a process still has the old password. Otherwise: somebody tries.",
            Kind.GRAPH, "suffix: /s",
            (
                Query(
                    "sum by (protocol) (rate(rabbitmq_auth_attempts_failed_total[$__rate_interval]))", "{{protocol}}"
                ),
            ),
            (Limit(0.1, RED),), quiet=SEEN,
        ),
        Panel(
            "Time to the commit of a quorum",
            "How long an entry of the queues' logs takes until most members have it on disk, by node.",
            "Above 0.1 s: a slow disk or network between the nodes. Confirms, and so the publishing, take as long.",
            Kind.GRAPH, "s", (Query("max by (instance) (rabbitmq_raft_entry_commit_latency_seconds)", "{{instance}}"),),
            (Limit(0.1, ORANGE), Limit(1, RED)),
        ),
    ),
)  # fmt: skip

ROOM = Row(
    "How much room it has",
    (
        Panel(
            "Memory used",
            "Of the memory at which the broker raises its alarm, the share that is used, by node.",
            "Above 80 %: find the long queue, or give the machine more.",
            Kind.GRAPH, "percentunit",
            (
                Query(
                    "max by (instance) (rabbitmq_process_resident_memory_bytes / rabbitmq_resident_memory_limit_bytes)",
                    "{{instance}}",
                ),
            ),
            (Limit(0.8, ORANGE), Limit(1, RED)), top=1.2,
        ),
        Panel(
            "Disk left",
            "Free disk space above the mark at which the broker raises its alarm, by node.",
            "It shrinks steadily: a queue without a worker, or a log that is not rotated.",
            Kind.GRAPH, "bytes",
            (
                Query(
                    "min by (instance)"
                    " (rabbitmq_disk_space_available_bytes - rabbitmq_disk_space_available_limit_bytes)",
                    "{{instance}}",
                ),
            ),
            (Limit(1 * 1024**3, ORANGE), Limit(5 * 1024**3, GREEN)), ground=RED,
        ),
        Panel(
            "File descriptors used",
            "Of the file descriptors that a node may open, the share that it uses.",
            "Above 80 %: raise its limit, or find who opens so many connections.",
            Kind.GRAPH, "percentunit",
            (Query("max by (instance) (rabbitmq_process_open_fds / rabbitmq_process_max_fds)", "{{instance}}"),),
            (Limit(0.8, ORANGE), Limit(0.95, RED)), top=1,
        ),
    ),
)  # fmt: skip

BOARD = Board(
    "millrace-queues",
    "Millrace / Queues and broker",
    "What waits, who takes it, and how is RabbitMQ?",
    "Open it when events are accepted but not worked.",
    (WAITING, CANARY, faults.LEDGER, TROUBLE, ROOM),
    (JOB, VHOST, QUEUE),
)
