"""The HTTP door's part of the road."""

from __future__ import annotations

import dataclasses

from service import plugins
from service.application.accept import Intake
from service.application.publish import Publisher
from service.application.unpublished import Unpublished
from service.application.watch import Watch
from service.bootstrap.brokers import broker
from service.bootstrap.operators import Operations, operations
from service.bootstrap.start import prepare
from service.domain import handlers
from service.ledger import engine as engines
from service.ledger.intake import IntakeLedger
from service.ledger.queries import Queries
from service.settings import Settings


@dataclasses.dataclass(frozen=True, slots=True)
class WebRoad:
    """What the HTTP door needs."""

    settings: Settings
    registry: handlers.Registry
    engine: engines.Engine
    intake: Intake
    publisher: Publisher
    queries: Queries
    watch: Watch
    operations: Operations


def web(settings: Settings | None = None) -> WebRoad:
    """The HTTP door's part of the road."""
    settings = prepare("web", settings).require_servers().require_access()
    return door(settings, Publisher(lambda: broker(settings, "millrace-web")), head_start=settings.head_start)


def door_here(settings: Settings) -> WebRoad:
    """The same for a command on the host, which is its own door. It needs no broker: what is due, the clocks publish.

    Raises LedgerUnavailable or SchemaNotReady.
    """
    # Who can read the ledger is trusted.
    found = door(settings.model_copy(update={"access": "off"}), Unpublished(), head_start=0.0)
    found.queries.check()
    return found


def door(settings: Settings, publisher: Publisher, *, head_start: float) -> WebRoad:
    """The HTTP door's part of the road, with this publisher."""
    settings.require("database_url")
    # The intake has the engine to itself; queries of requests share another.
    intake_engine = engines.Engine(settings.database_url, role="millrace-intake")
    engine = engines.Engine(settings.database_url, size=max(2, settings.web_threads // 4), role="millrace-web")
    ledger = IntakeLedger(
        intake_engine, patience=settings.patience, window=settings.window, limit=2 * settings.accept_deadline
    )
    intake = Intake(
        ledger,
        publisher,
        plugins.registry,
        deadline=settings.accept_deadline,
        head_start=head_start,
    )
    # Those who wait must not keep the others out. The watch has an engine of its own: it is late when the pool is full.
    watch_engine = engines.Engine(settings.database_url, role="millrace-watch")
    watch = Watch(Queries(watch_engine), room=settings.web_threads // 4)
    found = operations(settings, engine)
    return WebRoad(settings, plugins.registry, engine, intake, publisher, found.queries, watch, found)
