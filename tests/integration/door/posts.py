"""Posts and their answers."""

from __future__ import annotations

from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

CLOUDEVENT = "application/cloudevents+json"


def post(client: FlaskClient, query: str = "", payload: Any = 1, **headers: str) -> TestResponse:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post(f"/v1/events/a.b{query}", json=payload, headers=named)
