"""OpenTelemetry's semantic conventions for messaging, as far as our spans need them."""

from __future__ import annotations

from typing import Any


def destination(name: str, key: str = "") -> dict[str, Any]:
    """Where a message goes: an exchange with a routing key, or a queue."""
    found = {"messaging.system": "rabbitmq", "messaging.destination.name": f"{name}:{key}" if key else name}
    return found | ({"messaging.rabbitmq.destination.routing_key": key} if key else {})


def operation(name: str) -> dict[str, Any]:
    """What is done with it: ``create`` or ``process``."""
    return {"messaging.operation.name": name, "messaging.operation.type": name}


def line(error: BaseException) -> str:
    """What an error says, in one line."""
    try:
        return str(error).strip().partition("\n")[0][:500]
    except Exception:
        return ""
