"""What ``celery -A schedules beat`` finds. Configuration and apps come when Celery first needs them."""

from __future__ import annotations

from typing import Any

from celery import signals

from schedules import output
from service import bootstrap
from service.broker import factory
from service.domain import errors
from service.telemetry import logging as logs

app = output.App("schedules")


@app.on_configure.connect
def configure(**_: object) -> None:
    """Read the settings and import the apps, at the first look at the configuration."""
    try:
        app.road = bootstrap.clock()
    except errors.MillraceError as error:
        bootstrap.give_up(error, "clock")
    app.conf.update(factory.configuration(app.road.settings, ()))


@signals.setup_logging.connect(weak=False)
def set_up_logging(loglevel: int | None = None, logfile: str | None = None, **_: Any) -> None:
    """Keep our logging, and obey beat's own options."""
    logs.obey_celery(app.road.settings, "clock", loglevel=loglevel, logfile=logfile)
