"""The hands: Celery workers that execute tickets, and the face that handlers are written against.

This module must define no name ``app`` or ``celery``: only then does ``celery -A workers`` find ``workers/celery.py``.
"""

from service.application.context import Context
from service.domain.backoff import Backoff
from service.domain.errors import Cancelled, LeaseLost
from service.domain.event import Event
from service.domain.objective import Objective
from service.domain.outcome import Discard, Retry, Snooze
from workers.face import handler

__all__ = [
    "Backoff",
    "Cancelled",
    "Context",
    "Discard",
    "Event",
    "LeaseLost",
    "Objective",
    "Retry",
    "Snooze",
    "handler",
]
