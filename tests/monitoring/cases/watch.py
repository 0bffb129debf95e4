"""The watch itself: what is scraped, and whether it stays up."""

from __future__ import annotations

from tests.monitoring.cases.case import Case

ALERT = 'ALERTS{alertname="%s",alertstate="%s"}'

CASES = (
    Case(
        "MillraceTargetDown",
        {'up{job="millrace-web",instance="w"}': "1x10 0x20"},
        "8m",
        "9m",
        {"job": "millrace-web", "instance": "w"},
        says="millrace-web w.",
    ),
    Case(
        "MillraceScrapeSlow",
        {'scrape_duration_seconds{job="rabbitmq",instance="r"}': "1.9x10 2.5x40"},
        "15m",
        "16m",
        {"job": "rabbitmq", "instance": "r"},
        says="2.5s for rabbitmq r.",
    ),
    Case(
        "MillraceRestartLoop",
        {'process_start_time_seconds{job="millrace-web",instance="w"}': "1x20 2 3 4 5x20"},
        "11m30s",
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
        "1h9m30s",
        "1h15m",
        {"role": "worker"},
        "info",
        "2 versions of worker.",
    ),
    # It is told of for so long after an outage; what wakes nobody is none.
    Case(
        "MillraceAfterOutage",
        {
            ALERT % ("MillraceBrokerAway", "pending"): "1x4 stale",
            ALERT % ("MillraceBrokerAway", "firing"): "_x5 1x20 stale",
            ALERT % ("MillraceCertificateExpires", "firing"): "1x300",
        },
        "2m",
        "55m",
        {},
        "info",
        "Alerts that told of it: 1.",
    ),
    Case("MillraceAfterOutage", {ALERT % ("MillraceBrokerAway", "firing"): "1x20 stale"}, "56m"),
    Case("MillraceWatchdog", {"up": "1x5"}, "", "1m", {}, "none", "When it stops, the watch is blind."),
)
