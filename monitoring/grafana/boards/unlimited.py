"""The panels of which no value is too high or too low, and why; every other one has limits.

A test holds this list and the boards together.
"""

from __future__ import annotations

#: Why → the panels, by dashboard.
UNLIMITED: dict[str, dict[str, tuple[str, ...]]] = {
    "A volume: how much is much, only its own past says. What is bad in it has a panel with a limit.": {
        "millrace-overview": (
            "Accepted and finished", "Open events", "Answers of the door", "What the ledger has",
        ),
        "millrace-ingest": (
            "Requests by answer", "Busiest routes", "Events by outcome", "Accepted by type", "Tickets published",
            "By exchange",
        ),
        "millrace-processing": ("Events by outcome", "Retries by type"),
        "millrace-queues": ("In and out",),
        "millrace-schedules": ("Open events looked at",),
    },
    "What it should be is in the code or in the settings: a plan, a promise, a retention, a number of children.": {
        "millrace-overview": ("Objectives of the types",),
        "millrace-processing": ("Busy handlers by type", "Tickets in work, by worker"),
        "millrace-queues": ("Messages in work", "Sent"),
        "millrace-schedules": (
            "Slots fired", "Fired by schedule", "Each schedule", "Since the last success", "Since when",
        ),
    },
    "A picture of a spread: its colours count, they do not judge. The quantiles beside it have limits.": {
        "millrace-ingest": ("Spread of the time to an answer",),
        "millrace-processing": ("Spread of the way to the commit", "Spread of the time in the handler"),
        "millrace-schedules": ("Spread of the lateness",),
    },
    "It is neither good nor bad alone: few ride on a ticket where few come, and who is idle finishes nothing.": {
        "millrace-ingest": ("Events to a ticket",),
        "millrace-processing": ("Events to a ticket, by type", "Since the last ticket"),
    },
    "A list of what there is.": {
        "millrace-overview": ("Versions",),
        "millrace-letters": ("By type",),
    },
}  # fmt: skip
