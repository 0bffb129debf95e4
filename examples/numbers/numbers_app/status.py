"""How far an event is, in Celery's words, which the clients of this application know."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

#: From the ledger's states. ``pending`` is RETRY once an attempt has failed.
WORDS = {
    "pending": "PENDING",
    "running": "STARTED",
    "succeeded": "SUCCESS",
    "dead": "FAILURE",
    "cancelled": "REVOKED",
    "expired": "REVOKED",
}

_SENTENCES = {"PENDING": "Waiting for a worker.", "STARTED": "A worker is on it."}


def word(event: Mapping[str, Any]) -> str:
    """The status of an event's document."""
    if event["state"] == "pending" and event.get("attempt"):
        return "RETRY"
    return WORDS[event["state"]]


def response(event: Mapping[str, Any]) -> str:
    """``OK`` for what was done as asked, otherwise a text."""
    status = word(event)
    if status == "SUCCESS":
        result = event.get("result")
        return "OK" if result is None else result if isinstance(result, str) else json.dumps(result)
    if status in ("RETRY", "FAILURE"):
        error = event.get("error") or {}
        reason = error.get("message") or error.get("error") or "no reason is known"
        return f"Attempt {event.get('attempt', 0)} failed: {reason}"
    return _SENTENCES.get(status, f"It was {event['state']}.")
