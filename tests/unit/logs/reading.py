"""What the tests of logging write, and read again."""

from __future__ import annotations

import json
import logging
from typing import Any

log = logging.getLogger("millrace.test")
SECRETS = {
    "database_url": "postgresql://road:s3cret-of-pg@db:5432/millrace",
    "broker_url": "amqp://road:p%40ss%2Fword@rabbit:5672/v",
}


def json_lines(found: list[str]) -> list[dict[str, Any]]:
    """The lines, parsed."""
    return [json.loads(line) for line in found]
