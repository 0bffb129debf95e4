"""What a clock's program says beside its log: nothing, where that is JSON."""

from __future__ import annotations

import functools
from typing import Any

from celery.apps import beat

from service.broker import factory
from service.telemetry import logging as logs


class Program(beat.Beat):
    """Celery's program, which prints no banner between lines of JSON."""

    app: Any
    quiet: bool

    def run(self) -> None:
        """Run until a signal says stop."""
        settings = self.app.road.settings
        self.quiet = self.quiet or settings.log_format == "json"
        logs.take_output(settings)
        super().run()


class App(factory.App):
    """The app of clocks."""

    @functools.cached_property
    def Beat(self) -> Any:
        """What `celery beat` runs."""
        return self.subclass_with_self(Program)
