"""The console: pages for people at ``/console``, rendered here, alive by htmx, and whole without any script.

Views are thin: what they show comes from the functions that the API asks, what they do is done by the same operations.
"""

from service.web.console import (
    audit,
    dead,
    discard,
    event,
    events,
    first_run,
    keys,
    overview,
    schedule,
    schedule_form,
    schedules,
    send,
    strays,
    types,
    users,
    workers,
)
from service.web.console.page import pages

__all__ = [
    "audit",
    "dead",
    "discard",
    "event",
    "events",
    "first_run",
    "keys",
    "overview",
    "pages",
    "schedule",
    "schedule_form",
    "schedules",
    "send",
    "strays",
    "types",
    "users",
    "workers",
]
