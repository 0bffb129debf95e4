"""Answers to Flask's test client, looked at."""

from __future__ import annotations

import json
from typing import Any

from werkzeug.test import TestResponse


def document(answer: TestResponse, status: int = 200) -> Any:
    """The document of an answer that must have this status."""
    assert answer.status_code == status, answer.text
    return json.loads(answer.data)


def problem(answer: TestResponse, status: int) -> dict[str, Any]:
    """The problem document of an answer that must have this status."""
    assert answer.content_type == "application/problem+json", answer.text
    found: dict[str, Any] = document(answer, status)
    assert found["status"] == status
    return found
