"""A worker's part of the road."""

from __future__ import annotations

import dataclasses
import os
import socket
from collections.abc import Callable

from service import plugins
from service.application import ports
from service.application.detached import Executor
from service.application.lease import TRIES
from service.bootstrap.start import prepare
from service.domain import handlers, processes
from service.ledger import engine as engines
from service.ledger.leases import LeaseLedger
from service.ledger.work import WorkLedger
from service.settings import Settings


@dataclasses.dataclass(frozen=True, slots=True)
class WorkRoad:
    """What a worker needs."""

    settings: Settings
    registry: handlers.Registry
    engine: engines.Engine
    lease_engine: engines.Engine  #: for what detached handlers' runs need beside them
    notes_engine: engines.Engine  #: used by the one process that notes the worker


def worker(settings: Settings | None = None) -> WorkRoad:
    """A worker's part of the road."""
    settings = prepare("worker", settings).require_servers()
    engine = engines.Engine(settings.database_url, role="millrace-worker", pipelined=True)
    lease_engine = lease_engine_of(settings.database_url, settings.lease)
    notes_engine = engines.Engine(settings.database_url, role="millrace-notes", longest=processes.NOTED_EVERY)
    return WorkRoad(settings, plugins.registry, engine, lease_engine, notes_engine)


def lease_engine_of(url: str, lease: float) -> engines.Engine:
    """What runs under leases of so many seconds ask a ledger by that may be silent."""
    return engines.Engine(url, role="millrace-lease", longest=max(1.0, lease / TRIES))


def executor(
    road: WorkRoad,
    time_limit_errors: tuple[type[BaseException], ...],
    strikes: ports.Strikes,
    leaving: Callable[[], bool],
    *,
    retiring: Callable[[], bool],
    end_process: Callable[[], None] | None,
) -> Executor:
    """The executor of one worker process."""
    worker, settings = f"{socket.gethostname()}:{os.getpid()}", road.settings
    return Executor(
        WorkLedger(road.engine, worker=worker),
        road.registry,
        leases=LeaseLedger(road.lease_engine, road.engine, worker=worker, lease=settings.lease, grace=settings.grace),
        lease=settings.lease,
        end_process=end_process,
        retiring=retiring,
        limits=(settings.soft_limit, settings.hard_limit),
        time_limit_errors=time_limit_errors,
        strikes=strikes,
        leaving=leaving,
    )
