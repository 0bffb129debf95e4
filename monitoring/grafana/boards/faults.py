"""What is refused, and what is overdue: rows of several dashboards."""

from __future__ import annotations

from monitoring.grafana.ask import highest, of, rate
from monitoring.grafana.model import GREEN, ORANGE, RED, YELLOW, Kind, Limit, Panel, Query, Row

#: On Ingest.
ACCESS = Row(
    "Who may come in",
    (
        Panel(
            "Refused, by reason",
            "Requests that were refused for who sent them, per second: without a credential, with a bad one, without"
            " the permission, or too many of them.",
            "`bad_credential` rises: a producer shows an old key, or somebody guesses.",
            Kind.GRAPH, "reqps", (Query(rate("millrace_access_refused_total", by="reason"), "{{reason}}"),),
            (Limit(1, YELLOW), Limit(10, ORANGE)),
        ),
        Panel(
            "Issuer of tokens",
            "Whether the issuer answered each web when it was asked last: 1 or 0. Nothing while nobody brings tokens.",
            "0 for all: see its runbook, MillraceIssuerAway. Known keys are good for a day.",
            Kind.GRAPH, "short",
            (Query(highest("millrace_connection_up", 'peer="issuer"', by="instance"), "{{instance}}"),),
            (Limit(1, GREEN),), ground=RED, top=1, quiet="no token was brought, or none is taken",
        ),
        Panel(
            "Certificates",
            "The time until they end: those that settings name as files, and the door's, as the canary sees it.",
            "Below two weeks: renew it. The door's stands where TLS ends.",
            Kind.GRAPH, "s",
            (
                Query(
                    f"min by (of) ({of('millrace_certificate_expires_timestamp_seconds')}) - time()",
                    "{{of}}",
                ),
            ),
            (Limit(86_400, ORANGE), Limit(14 * 86_400, GREEN)), ground=RED, quiet="nothing speaks TLS here",
        ),
    ),
)  # fmt: skip

#: On Queues and broker.
LEDGER = Row(
    "The ledger",
    (
        Panel(
            "Faults of the ledger",
            "What PostgreSQL refused, and connections that could not be had, per second.",
            "`read_only`, `disk_full`, `too_many_connections`: at once. `integrity`, `data`, `other`: of handlers.",
            Kind.GRAPH, "suffix: faults/s", (Query(rate("millrace_ledger_faults_total", by="fault"), "{{fault}}"),),
            (Limit(0.1, YELLOW), Limit(1, RED)), width=12,
        ),
        Panel(
            "Faults of the ledger, by job",
            "The same by the kind of process that met them.",
            "One kind alone: its role, its pool or its handlers. All of them: the server.",
            Kind.GRAPH, "suffix: faults/s", (Query(rate("millrace_ledger_faults_total", by="job"), "{{job}}"),),
            (Limit(0.1, YELLOW), Limit(1, RED)), width=12,
        ),
    ),
)  # fmt: skip

#: On Dead letters.
AGE = Row(
    "How long they lie",
    (
        Panel(
            "The oldest dead letter",
            "How long the oldest one has lain that nobody has replayed or discarded.",
            "More than a day: somebody is to decide. Replay it, or discard it with a reason.",
            Kind.GRAPH, "s", (Query(highest("millrace_dead_letters_oldest_seconds", by="reason"), "{{reason}}"),),
            (Limit(3_600, YELLOW), Limit(86_400, RED)), width=24,
        ),
    ),
)  # fmt: skip

#: On Schedules.
STALE = Row(
    "What has not succeeded",
    (
        Panel(
            "Overdue for a success",
            "The time between a schedule's last success and the third-latest instant at which it was due, where that"
            " came later.",
            "Above 0: it was due three times and did not succeed. See its events.",
            Kind.GRAPH, "s",
            (
                Query(
                    f"clamp_min({highest('millrace_schedule_expected_timestamp_seconds', by='schedule')}"
                    f" - {highest('millrace_schedule_last_success_timestamp_seconds', by='schedule')}, 0)",
                    "{{schedule}}",
                ),
            ),
            (Limit(1, ORANGE),), width=16,
        ),
        Panel(
            "Overdue, of those made at run time",
            "How many of the schedules that were made by the API or the console were due three times since their last"
            " success.",
            "Any: their pages in the console tell what became of their events.",
            Kind.GRAPH, "short", (Query(highest("millrace_schedules_stale"), "schedules"),),
            (Limit(1, ORANGE),),
        ),
    ),
)  # fmt: skip
