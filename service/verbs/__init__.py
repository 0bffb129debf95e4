"""The operator's verbs of the command line. They speak to the API: at an address, or to a door of their own.

That one needs the database and nothing else: neither web nor broker.
"""

from __future__ import annotations

import click

from service.verbs import (
    access,
    completion,
    control,
    events,
    letters,
    looking,
    openapi,
    retention,
    schedules,
    sending,
    status,
    strays,
)

VERBS: tuple[click.Command, ...] = (
    sending.send,
    events.events,
    control.cancel,
    control.pause,
    control.resume,
    control.pauses,
    letters.dead,
    letters.replay,
    strays.strays,
    schedules.schedules,
    status.status,
    looking.types,
    looking.queues,
    looking.workers,
    looking.clocks,
    looking.processes,
    looking.deploys,
    completion.completion,
    openapi.openapi,
    retention.retention,
    access.keys,
    access.users,
    access.audit,
)
