"""What a worker's program says beside its log: nothing, where that is JSON. Its banner, "Warm shutdown", and what
handlers print would be lines that no machine can read, between those that one shall.
"""

from __future__ import annotations

import logging
from typing import Any

from celery.apps import worker

from service.settings import Settings
from service.telemetry import logging as logs

program: Any = worker
log = logging.getLogger("millrace.work")


def keep(settings: Settings, instance: Any) -> None:
    """Have Celery's program ``instance``, and whatever it forks, say all by the log, if that is JSON."""
    if settings.log_format == "json":
        instance.quiet = True
        program.safe_say = _say  # It writes past `sys.stdout`, from handlers of signals.
        logs.take_output(settings)


def _say(message: str, f: Any = None) -> None:
    log.warning("%s", message, extra={"action": "work.signal"})
