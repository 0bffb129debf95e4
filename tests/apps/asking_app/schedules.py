"""Its schedule."""

from __future__ import annotations

from schedules import every
from service import settings

URL = settings.environment("TEST_RECEIVER", "http://127.0.0.1:9/")

every(1, "http.request", {"url": f"{URL}/tick", "json": {"from": "a schedule"}, "secret": "billing"}, name="ask")
