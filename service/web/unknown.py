"""Messages that are not ours, as they are shown. Nobody knows what one holds, so what its sender wrote is masked: its
body, and its headers too, for other programs put arguments into them (Celery: ``argsrepr``, ``kwargsrepr``).
"""

from __future__ import annotations

from typing import Any

from service.domain import masks

#: Headers that brokers write. Source: RabbitMQ's pages on dead lettering and quorum queues.
OF_BROKERS = frozenset(
    f"x-{when}-death-{what}" for when in ("first", "last") for what in ("exchange", "queue", "reason")
) | {"x-death", "x-delivery-count", "x-acquired-count", "x-opt-deaths"}


def masked(stray: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """(a stray without what its sender wrote, where that was)."""
    headers = stray["headers"] or {}
    hidden = [name for name in headers if name not in OF_BROKERS]
    shown = {name: masks.MASK if name in hidden else value for name, value in headers.items()}
    places = [f"/headers/{name.replace('~', '~0').replace('/', '~1')}" for name in hidden]
    return stray | {"body": None, "headers": shown}, ["/body", *places]
