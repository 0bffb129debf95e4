"""The one place that wires: settings and apps in, the objects of a process out.

Nothing here connects. Each process of Millrace begins with one of the functions below.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import logging
import os
import shlex
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from typing import NoReturn

from service import __version__, crashpoints, plugins, safety, signals
from service.application import ports
from service.application.accept import Intake
from service.application.control import Control
from service.application.credentials import Keys
from service.application.detached import Executor
from service.application.explainer import Explainer
from service.application.noting import Noter
from service.application.publish import Publisher, Release
from service.application.replay import Replayer
from service.application.schedules import Schedules
from service.application.unpublished import Unpublished
from service.application.users import Users
from service.application.watch import Watch
from service.broker import connection as connections
from service.broker import demo, plan, topology, users
from service.broker import publisher as amqp_publisher
from service.domain import canary as domain_canary
from service.domain import errors, handlers, processes, schedules
from service.domain import topology as domain_topology
from service.ledger import engine as engines
from service.ledger import firing, schema, transactions
from service.ledger.agenda import ScheduleQueries
from service.ledger.audit import AuditLedger
from service.ledger.cancel import CancelLedger
from service.ledger.counting import Counting
from service.ledger.declared import Declarations
from service.ledger.explain import ExplainLedger
from service.ledger.figures import Figures
from service.ledger.history import History
from service.ledger.intake import IntakeLedger
from service.ledger.keys import KeyLedger
from service.ledger.lanes import LaneLedger
from service.ledger.leases import LeaseLedger
from service.ledger.letters import LetterLedger
from service.ledger.pauses import PauseLedger
from service.ledger.processes import ProcessLedger
from service.ledger.queries import Queries
from service.ledger.release import ReleaseLedger
from service.ledger.schedules import ScheduleLedger
from service.ledger.slots import SlotLedger
from service.ledger.spent import SpentLedger
from service.ledger.strays import StrayLedger
from service.ledger.upkeep import Upkeep
from service.ledger.users import UserLedger
from service.ledger.watching import LedgerWatch
from service.ledger.work import WorkLedger
from service.settings import Settings, load
from service.telemetry import exposition, metrics, tracing
from service.telemetry import logging as logs
from service.telemetry.canary import Canary

log = logging.getLogger("millrace")

#: Seconds in which a request of the web gets a connection that others have, and a new one: both together are no more
#: than the deadline of a post, which is what it then has for an answer (``service.web.hooks``).
WAIT, CONNECT = 1.0, 2

#: What is said of a server that cannot be used → where its address comes from.
SETTINGS = {errors.LedgerUnavailable: "MILLRACE_DATABASE_URL", errors.BrokerUnavailable: "MILLRACE_BROKER_URL"}
#: How a process ends that its settings keep from starting (EX_CONFIG of sysexits.h): no supervisor need try again.
MISCONFIGURED = 78


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


@dataclasses.dataclass(frozen=True, slots=True)
class WorkRoad:
    """What a worker needs."""

    settings: Settings
    registry: handlers.Registry
    engine: engines.Engine
    lease_engine: engines.Engine  #: for what detached handlers' runs need beside them
    notes_engine: engines.Engine  #: used by the one process that notes the worker


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


def prepare(role: str, settings: Settings | None = None) -> Settings:
    """What every process does first: settings, logs, crash points, the user's apps."""
    settings = settings or load()
    logs.configure(settings, role)
    if role != "doctor":  # It tells of all of them.
        safety.refuse(settings, role)
    tracing.check(settings)
    try:
        crashpoints.arm(settings.crash_at)
    except ValueError as error:
        raise errors.SettingsError(str(error)) from None
    _import_apps(settings, views=role == "web")
    return settings


def _import_apps(settings: Settings, *, views: bool) -> None:
    """Import what is declared in the apps; raises SettingsError when one of them cannot be imported."""
    try:
        plugins.load(settings.apps)
        for app in plugins.apps(settings.apps) if views else ():
            plugins.optional(app, "views")
    except errors.MillraceError:
        raise
    except Exception as error:
        log.debug("An app cannot be imported", exc_info=True, extra={"action": "apps.broken"})
        raise errors.SettingsError(
            f"MILLRACE_APPS: an app cannot be imported: {type(error).__name__}: {error}, {_place(error)}"
            " (MILLRACE_LOG_LEVEL=debug shows the way there)"
        ) from None


def _place(error: Exception) -> str:
    """The file and the line where an import went wrong."""
    if isinstance(error, SyntaxError):
        return f"in {error.filename}"  # Its message has the line.
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith("<")]
    return f"in {frames[-1].filename}, line {frames[-1].lineno}"


def check(settings: Settings) -> None:
    """Raises SettingsError, LedgerUnavailable or SchemaNotReady when nothing can be done with the ledger."""
    settings.require("database_url")
    engine = engines.Engine(settings.database_url, role="millrace-check")
    try:
        schema.check(engine.get())
    finally:
        engine.dispose()


def check_or_wait(settings: Settings, *, action: str) -> None:
    """The same at the start of a process that waits for its servers: they may start in any order."""
    try:
        check(settings)
    except errors.LedgerUnavailable as error:
        log.warning("%s; waiting for it", explain(error), extra={"action": action})


def give_up(error: errors.MillraceError) -> NoReturn:
    """End a process that cannot start: a line for each fault."""
    for line in explain(error).splitlines():
        sys.stderr.write(f"millrace: {line}\n")
    sys.exit(exit_code(error))


def exit_code(error: Exception) -> int:
    """How a command ends that failed so."""
    return MISCONFIGURED if isinstance(error, errors.SettingsError) else 1


def explain(error: Exception) -> str:
    """What an operator is told of an error: of a server that is away, the setting that names it too."""
    setting = next((name for kind, name in SETTINGS.items() if isinstance(error, kind)), None)
    return f"{error} (is the server there, and {setting} right?)" if setting else str(error)


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
    engine = engines.Engine(
        settings.database_url,
        size=max(2, settings.web_threads // 4),
        role="millrace-web",
        wait=WAIT,
        connect=CONNECT,
        longest=transactions.STATEMENT + 5.0,  # Of acts; and nobody else waits for longer than a deadline.
    )
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
    watch_engine = engines.Engine(settings.database_url, role="millrace-watch", longest=settings.accept_deadline)
    watch = Watch(Queries(watch_engine), room=settings.web_threads // 4)
    found = operations(settings, engine)
    return WebRoad(settings, plugins.registry, engine, intake, publisher, found.queries, watch, found)


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
        Control(registry, CancelLedger(engine), types, queues, strays),
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


def worker(settings: Settings | None = None) -> WorkRoad:
    """A worker's part of the road."""
    settings = prepare("worker", settings).require_servers()
    engine = engines.Engine(settings.database_url, role="millrace-worker", pipelined=True)
    lease_engine = engines.Engine(settings.database_url, role="millrace-lease")
    notes_engine = engines.Engine(settings.database_url, role="millrace-notes")
    return WorkRoad(settings, plugins.registry, engine, lease_engine, notes_engine)


def noter(
    engine: engines.Engine,
    process: Callable[[], processes.Process],
    note: Callable[[], processes.Note],
    ours: Callable[[], bool] = lambda: True,
    afterwards: Callable[[], None] = lambda: None,
) -> Noter:
    """What notes a process in the ledger."""
    return Noter(ProcessLedger(engine), process, note, ours=ours, afterwards=afterwards)


def noter_of(kind: processes.Kind, engine: engines.Engine, broker: Callable[[], bool | None] = lambda: None) -> Noter:
    """The same for a process that is noted by itself."""
    begun, types = time.monotonic(), tuple(handler.type for handler in plugins.registry)
    # Asked for at each note: a server may fork after it has loaded the application.
    process = lambda: processes.Process(kind, socket.gethostname(), os.getpid(), __version__, types)  # noqa: E731
    return noter(engine, process, lambda: processes.Note(time.monotonic() - begun, broker()))


def executor(
    road: WorkRoad,
    time_limit_errors: tuple[type[BaseException], ...],
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
        leaving=leaving,
    )


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
    declarations = Declarations(upkeep_engine, handled(plugins.calendar), clock=name, apps=apps, bundle=bundle)
    return ClockRoad(
        settings,
        engine,
        SlotLedger(engine, declarations.calendar, clock=name, bundle=bundle),
        declarations,
        Release(release, broker(settings, "millrace-clock")),
        release_engine,
        Upkeep(upkeep_engine),
        upkeep_engine,
        LedgerWatch(looks_engine),
        looks_engine,
        canary(settings),
        dead,
        noter_of(processes.Kind.CLOCK, upkeep_engine),
    )


def canary(settings: Settings) -> Canary | None:
    """What a clock sends through every queue, if the settings say so."""
    if not settings.canary:
        return None
    queues = domain_canary.queues(plugins.registry.queues())
    url = settings.canary_url or f"http://{settings.http}"
    return Canary(url, every=settings.canary, queues=queues, key=settings.canary_key)


def bundle_of(registry: handlers.Registry) -> firing.Bundle:
    """How many events of a type ride on one ticket at the most; one where no handler is known here."""
    return lambda type_name, pace: registry.get(type_name).bundle_at(pace) if type_name in registry else 1


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


def broker(settings: Settings, name: str) -> ports.Broker:
    """A way to the broker for one thread."""
    if settings.demo_broker:
        return demo.DemoPublisher(settings, plugins.registry.queues())
    return amqp_publisher.Publisher(
        settings.broker_url, plugins.registry.queues(), heartbeat=settings.broker_heartbeat, name=name
    )


def apply_topology(settings: Settings) -> list[str]:
    """Declare exchanges and queues; lines for people."""
    if settings.demo_broker:
        return ["the demo broker needs no topology"]
    return topology.apply(settings.broker_url, plugins.registry.queues(), heartbeat=settings.broker_heartbeat)


def settle_memory() -> None:
    """What a process has loaded by now stays: the search for garbage passes it by from here on, and forks share it.

    And it searches less often than after 700 new objects, which a batch of events makes many times over.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


@contextlib.contextmanager
def topology_broker(settings: Settings) -> Iterator[plan.Broker]:
    """An administrator's connection. Raises SettingsError, BrokerUnavailable."""
    if settings.require("broker_url").demo_broker:
        raise errors.SettingsError("MILLRACE_BROKER_URL: the demo broker has no topology to change")
    found = plan.Broker(settings.broker_url, plugins.registry.queues(), heartbeat=settings.broker_heartbeat)
    try:
        yield found
    finally:
        found.close()


def replace_queues(settings: Settings, timeout: float) -> Iterator[str]:
    """Make queues that differ anew, and end what was begun; lines for people. Raises NotDrained, BrokerUnavailable."""
    with topology_broker(settings) as broker:
        for name in broker.differing():
            yield f"queue {name} is made anew; {broker.switch(name, timeout=timeout)} messages were moved"
        for name in broker.begun():
            yield f"queue {name}: {broker.join(name)} messages were moved from its parallel queue"


def definitions(settings: Settings, passwords: str | None = None) -> str:
    """The topology as RabbitMQ definitions; with the text of a file of passwords, users and permissions too."""
    vhost = connections.vhost(settings.broker_url) if settings.broker_url else "/"
    found = None if passwords is None else users.read_passwords(passwords)
    return topology.definitions(plugins.registry.queues(), vhost, found)


def policies(settings: Settings) -> str:
    """The command that sets the policies, for an administrator's shell."""
    vhost = connections.vhost(settings.broker_url) if settings.broker_url else "/"
    return shlex.join(["rabbitmqctl", "-p", vhost, *topology.policy_words()])


def operations_here(settings: Settings) -> Operations:
    """The same for a command on the host. Raises LedgerUnavailable or SchemaNotReady."""
    found = operations(settings)
    found.queries.check()
    return found


def watch(
    settings: Settings,
    role: str,
    routes: Iterable[tuple[str, str]] = (),
    health: exposition.Health | None = None,
) -> None:
    """Count what happens in this process, and show it on /metrics. ``routes``: (method, template) of the web.

    ``health`` is shown beside it, on /healthz.
    """
    types, names = [h.type for h in plugins.registry], [s.name for s in plugins.calendar]
    queues = [q.name for q in domain_topology.queues(plugins.registry.queues()) if q.name != domain_topology.DEAD_QUEUE]
    detached = [h.type for h in plugins.registry if h.detached]
    metrics.install(role, types, detached=detached, schedules=names, routes=routes, queues=queues)
    objectives = {h.type: h.objective for h in plugins.registry if h.objective is not None}
    signals.objectives_declared.send(None, objectives=objectives)
    exposition.serve(settings, role, health)


def trace(settings: Settings, role: str) -> None:
    """Trace what this process does, if that is wanted. To be called in the process that does it, after any fork."""
    tracing.install(settings, role)


def end_traces() -> None:
    """Send the last spans of this process."""
    tracing.uninstall()
