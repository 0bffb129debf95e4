"""What notes a process in the ledger."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable

from service import plugins
from service.application.noting import Noter
from service.domain import processes
from service.ledger import engine as engines
from service.ledger.processes import ProcessLedger
from service.settings import Settings


def noter(
    engine: engines.Engine,
    process: Callable[[], processes.Process],
    note: Callable[[], processes.Note],
    ours: Callable[[], bool] = lambda: True,
    afterwards: Callable[[], None] = lambda: None,
) -> Noter:
    """What notes a process in the ledger."""
    return Noter(ProcessLedger(engine), process, note, ours=ours, afterwards=afterwards)


def noter_of(
    settings: Settings,
    kind: processes.Kind,
    engine: engines.Engine,
    broker: Callable[[], bool | None] = lambda: None,
) -> Noter:
    """The same for a process that is noted by itself."""
    version = settings.version
    begun, types = time.monotonic(), tuple(handler.type for handler in plugins.registry)
    # Asked for at each note: a server may fork after it has loaded the application.
    process = lambda: processes.Process(kind, socket.gethostname(), os.getpid(), version, types)  # noqa: E731
    return noter(engine, process, lambda: processes.Note(time.monotonic() - begun, broker()))
