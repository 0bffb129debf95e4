"""What ``celery -A workers`` finds. Configuration, apps and tasks come when Celery first needs them."""

from __future__ import annotations

from service import bootstrap
from service.broker import factory
from service.domain import errors
from workers import lifecycle, presence, retiring, tasks

app = factory.App("workers")
retirement = retiring.Retirement()
here = presence.Presence()
lifecycle.subscribe(app, retirement, here)


@app.on_configure.connect
def configure(**_: object) -> None:
    """Read the settings and import the apps, at the first look at the configuration."""
    try:
        app.road = bootstrap.worker()
    except errors.MillraceError as error:
        bootstrap.give_up(error, "worker")
    app.conf.update(factory.configuration(app.road.settings, app.road.registry.queues()))


@app.on_after_finalize.connect
def register(**_: object) -> None:
    """A task for each event type, named by it."""
    for handler in app.road.registry:
        app.register_task(tasks.make(handler, app.road, retirement, here))
