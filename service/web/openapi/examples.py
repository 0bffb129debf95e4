"""Examples of answers."""

from __future__ import annotations

from typing import Any

#: An overview at night: one type fails, and what it leaves behind is seen.
OVERVIEW: dict[str, Any] = {
    "at": "2026-01-31T03:12:40Z",
    "sentence": "Not well; one thing wants a look",
    "attention": [
        {
            "severity": "critical",
            "what": "failing",
            "subject": "customers.notified",
            "title": "fails: 38 % of its attempts in the last 10 minutes",
            "text": "62 attempts failed, 101 succeeded; the first in this hour failed at 2026-01-31 03:04 UTC."
            " Other types are not slowed down.",
            "facts": {"failed": 62, "succeeded": 101, "since": "2026-01-31T03:04:00Z"},
            "links": {"look": "/v1/dead?type=customers.notified"},
        }
    ],
    "flow": {
        "accepted": {"per_second": 41.2, "last_hour": 148_320},
        "done": {"per_second": 40.8, "last_hour": 147_902},
        "retry": {"per_second": 0.1, "last_hour": 380},
        "dead": {"per_second": 0.0, "last_hour": 4},
        "minutes": [
            {
                "minute": "2026-01-31T03:11:00Z", "accepted": 2470, "done": 2451, "retry": 6, "dead": 0,
                "waited": 0.0, "queue": None,
            }
        ],
    },
    "open": {
        "events": 418, "due": 12, "later": 380, "out": 26, "out_tickets": 9, "due_for": 0.4, "out_for": 1.9,
        "exact": True,
    },
    "queues": [
        {
            "name": "events", "due": 12, "later": 380, "out": 26, "out_tickets": 9, "due_for": 0.4, "out_for": 1.9,
            "exact": True, "paused": False,
        }
    ],
    "types": [
        {
            "name": "customers.notified", "handled": True, "queue": "events", "accepted": 6.1, "done": 3.9,
            "failing": 0.38, "open": 380, "due": 0, "later": 380, "out": 0, "window": 10_000, "exact": True,
            "oldest": None, "run_time": 0.21, "dead": 4, "paused_at": None, "paused_by": None, "paused_because": None,
        }
    ],
    "dead": {"open": 4, "exact": True, "strays": 0},
    "budgets": {
        "since": "2026-01-01T00:00:00Z",
        "complete": True,
        "budgets": [
            {
                "type": "customers.notified", "what": "succeeds", "left": 0.81, "kept": 0.99981, "promised": 0.999,
                "counted": 2_114_063,
            }
        ],
    },
    "processes": {"workers": 2, "places": 16, "busy": 3, "clocks": 2, "webs": 2},
    "broker": True,
    "coming": [
        {
            "schedule": "nightly-settlement", "type": "orders.settled", "slot": "2026-01-31T03:30:00Z",
            "next_due": "2026-01-31T03:30:00Z",
        }
    ],
}  # fmt: skip
