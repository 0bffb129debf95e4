"""The clock: Celery's beat with a scheduler of our own, and the face that schedules are written against.

This module must define no name ``app`` or ``celery``: only then does ``celery -A schedules`` find
``schedules/celery.py``.
"""

from schedules.face import at, cron, every

__all__ = ["at", "cron", "every"]
