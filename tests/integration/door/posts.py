"""Posts and their answers."""

from __future__ import annotations

import json
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

CLOUDEVENT = "application/cloudevents+json"


def document(answer: TestResponse, status: int) -> Any:
    assert answer.status_code == status, answer.text
    return json.loads(answer.data)


def post(client: FlaskClient, query: str = "", payload: Any = 1, **headers: str) -> TestResponse:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post(f"/v1/events/a.b{query}", json=payload, headers=named)
