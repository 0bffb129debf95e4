"""The operators' part of the road: what they look at and do, over HTTP or on the host."""

from __future__ import annotations

import dataclasses

from service import plugins
from service.application.control import Control
from service.application.credentials import Keys
from service.application.explainer import Explainer
from service.application.replay import Replayer
from service.application.schedules import Schedules
from service.application.users import Users
from service.domain import handlers
from service.ledger import engine as engines
from service.ledger import ticks
from service.ledger.agenda import ScheduleQueries
from service.ledger.audit import AuditLedger
from service.ledger.cancel import CancelLedger
from service.ledger.counting import Counting
from service.ledger.discarding import DiscardLedger
from service.ledger.explain import ExplainLedger
from service.ledger.figures import Figures
from service.ledger.history import History
from service.ledger.keys import KeyLedger
from service.ledger.lanes import LaneLedger
from service.ledger.letters import LetterLedger
from service.ledger.pauses import PauseLedger
from service.ledger.processes import ProcessLedger
from service.ledger.queries import Queries
from service.ledger.schedules import ScheduleLedger
from service.ledger.spent import SpentLedger
from service.ledger.strays import StrayLedger
from service.ledger.users import UserLedger
from service.settings import Settings


@dataclasses.dataclass(frozen=True, slots=True)
class Operations:
    """What operators look at and do, over HTTP or on the host."""

    queries: Queries
    letters: LetterLedger
    strays: StrayLedger
    control: Control
    replayer: Replayer
    schedules: Schedules
    agenda: ScheduleQueries
    figures: Figures
    spent: SpentLedger
    counting: Counting
    history: History
    explainer: Explainer
    processes: ProcessLedger
    lanes: LaneLedger
    keys: Keys
    key_ledger: KeyLedger
    users: Users
    user_ledger: UserLedger
    audit: AuditLedger


def operations(
    settings: Settings, engine: engines.Engine | None = None, registry: handlers.Registry | None = None
) -> Operations:
    """The operators' part of the road. It needs no broker: what is due, the clocks publish."""
    settings.require("database_url")
    engine = engine or engines.Engine(settings.database_url, role="millrace-operator")
    registry = plugins.registry if registry is None else registry
    letters, strays = LetterLedger(engine), StrayLedger(engine)
    types, queues = PauseLedger(engine, "types"), PauseLedger(engine, "queues")
    agenda = ScheduleQueries(engine)
    key_ledger, user_ledger = KeyLedger(engine), UserLedger(engine)
    return Operations(
        Queries(engine, window=settings.window),
        letters,
        strays,
        Control(registry, CancelLedger(engine), types, queues, strays, DiscardLedger(engine)),
        Replayer(letters, registry, rate=settings.replay_rate),
        Schedules(registry, ScheduleLedger(engine, bundle=bundle_of(registry)), agenda),
        agenda,
        Figures(engine),
        SpentLedger(engine),
        Counting(engine),
        History(engine),
        Explainer(ExplainLedger(engine), window=settings.window),
        ProcessLedger(engine),
        LaneLedger(engine),
        Keys(key_ledger, settings.access_secret),
        key_ledger,
        Users(user_ledger),
        user_ledger,
        AuditLedger(engine),
    )


def operations_here(settings: Settings) -> Operations:
    """The same for a command on the host. Raises LedgerUnavailable or SchemaNotReady."""
    found = operations(settings)
    found.queries.check()
    return found


def bundle_of(registry: handlers.Registry) -> ticks.Bundle:
    """How many events of a type ride on one ticket at the most; one where no handler is known here."""
    return lambda type_name, pace: registry.get(type_name).bundle_at(pace) if type_name in registry else 1
