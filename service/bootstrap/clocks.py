"""A clock's part of the road."""

from __future__ import annotations

import dataclasses
import logging
import os
import socket

from service import plugins
from service.application.noting import Noter
from service.application.publish import Release
from service.bootstrap.brokers import broker
from service.bootstrap.notes import noter_of
from service.bootstrap.operators import bundle_of
from service.bootstrap.start import prepare
from service.broker import topology
from service.domain import canary as domain_canary
from service.domain import errors, processes, schedules
from service.ledger import engine as engines
from service.ledger.declared import Declarations
from service.ledger.release import ReleaseLedger
from service.ledger.retention import Retention
from service.ledger.slots import SlotLedger
from service.ledger.upkeep import Upkeep
from service.ledger.watching import LedgerWatch
from service.settings import Settings
from service.telemetry.canary import Canary

log = logging.getLogger("millrace")


@dataclasses.dataclass(frozen=True, slots=True)
class ClockRoad:
    """What a clock needs."""

    settings: Settings
    engine: engines.Engine
    slots: SlotLedger
    declarations: Declarations
    release: Release
    release_engine: engines.Engine
    upkeep: Upkeep
    upkeep_engine: engines.Engine
    looks: LedgerWatch
    looks_engine: engines.Engine  #: what is looked at for metrics keeps nobody waiting
    canary: Canary | None  #: None: none is sent
    dead_queue: topology.DeadQueue | None
    noter: Noter
    retention: Retention | None = None  #: None: nothing is removed by this clock


def clock(settings: Settings | None = None) -> ClockRoad:
    """A clock's part of the road."""
    settings = prepare("clock", settings).require_servers()
    name = f"{socket.gethostname()}:{os.getpid()}"
    # Slots, publishing and upkeep have a connection each, so that none waits for another.
    engine = engines.Engine(settings.database_url, role="millrace-clock")
    release_engine = engines.Engine(settings.database_url, role="millrace-release")
    # And for the queue `dead`, and what the code declares.
    upkeep_engine = engines.Engine(settings.database_url, size=3, role="millrace-upkeep")
    looks_engine = engines.Engine(settings.database_url, role="millrace-looks")
    release = ReleaseLedger(
        release_engine, patience=settings.patience, window=settings.window, forgetful=settings.demo_broker
    )
    dead = None
    if not settings.demo_broker:
        dead = topology.DeadQueue(settings.broker_url, plugins.registry.queues(), heartbeat=settings.broker_heartbeat)
    bundle, apps = bundle_of(plugins.registry), plugins.apps(settings.apps)
    declarations = Declarations(
        upkeep_engine,
        handled(plugins.calendar),
        clock=name,
        apps=apps,
        bundle=bundle,
        handles=plugins.registry.__contains__,
    )
    return ClockRoad(
        settings,
        engine,
        SlotLedger(engine, declarations.calendar, clock=name, bundle=bundle),
        declarations,
        Release(release, broker(settings, "millrace-clock")),
        release_engine,
        Upkeep(upkeep_engine),
        upkeep_engine,
        LedgerWatch(looks_engine, window=settings.window),
        looks_engine,
        canary(settings),
        dead,
        noter_of(settings, processes.Kind.CLOCK, upkeep_engine),
        retention(settings, by=name),
    )


def retention(settings: Settings, *, by: str) -> Retention:
    """What removes what is over, with a connection of its own: it may take long."""
    engine = engines.Engine(settings.database_url, role="millrace-retention")
    return Retention(engine, keep=settings.retention, by=by)


def canary(settings: Settings) -> Canary | None:
    """What a clock sends through every queue, if the settings say so."""
    if not settings.canary:
        return None
    queues = domain_canary.queues(plugins.registry.queues())
    if unknown := sorted({*settings.canary_queues} - {*queues}):
        raise errors.SettingsError(
            f"MILLRACE_CANARY_QUEUES: no handler names the queue {unknown[0]!r}; there are {', '.join(queues)}"
        )
    url = settings.canary_url or f"http://{settings.http}"
    return Canary(url, every=settings.canary, queues=queues, always=settings.canary_queues, key=settings.canary_key)


def handled(calendar: schedules.Calendar) -> schedules.Calendar:
    """The schedules whose events somebody handles; of the others it is told. The door, too, takes no such events."""
    found = schedules.Calendar()
    for schedule in calendar:
        if schedule.type in plugins.registry:
            found.add(schedule)
        else:
            log.error(
                "The schedule %s is left out: no handler is declared for its event type %r (mend the type, declare a"
                " handler, or name its package in MILLRACE_APPS)",
                schedule.name,
                schedule.type,
                extra={"action": "clock.left_out"},
            )
    return found
