"""The operator's verbs of the command line. They work on the ledger directly, and need neither web nor broker."""

from __future__ import annotations

import click

from service.verbs import control, letters, openapi, schedules

VERBS: tuple[click.Command, ...] = (
    control.cancel,
    control.pause,
    control.resume,
    control.pauses,
    letters.dead,
    letters.replay,
    letters.strays,
    schedules.schedules,
    openapi.openapi,
)
