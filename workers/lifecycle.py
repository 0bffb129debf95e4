"""What a worker does at its turns: start, fork, stop."""

from __future__ import annotations

from typing import Any

from celery import signals as turns
from celery.concurrency import solo
from celery.utils.text import str_to_list

from service import bootstrap, safety, signals
from service.broker.factory import App
from service.domain import errors, topology
from service.telemetry import logging as logs
from workers import cold, output, presence, retiring


def subscribe(app: App, retirement: retiring.Retirement, here: presence.Presence) -> None:  # noqa: PLR0915
    """Listen to Celery's signals for this app."""

    def before_queues(instance: Any, options: Any, **_: Any) -> None:
        output.keep(app.road.settings, instance)
        known = [queue.name for queue in app.conf.task_queues]
        taken = str_to_list(options.get("queues")) or known
        for name in taken:
            if name not in known:
                found = f"-Q: there is no queue {name!r}; there are {', '.join(known)}"
                bootstrap.give_up(errors.SettingsError(found), "worker")
        left_out = str_to_list(options.get("exclude_queues")) or ()
        here.queues = tuple(name for name in taken if name not in left_out)
        # Those that come with Millrace are always there; on a queue of their own they are of use without any others.
        own = [h for h in app.road.registry if not h.function.__module__.startswith(("service.", "workers."))]
        if not own and {*taken} <= {topology.EVENTS_QUEUE, topology.PERIODIC_QUEUE}:
            found = "there are no handlers: name packages that declare some in MILLRACE_APPS"
            bootstrap.give_up(errors.SettingsError(found), "worker")

    def before_start(**_: Any) -> None:
        if fault := safety.accepts(app.conf.accept_content):  # An app may have changed it.
            bootstrap.give_up(errors.SettingsError(fault), "worker")
        try:
            bootstrap.check_or_wait(app.road.settings, action="work.waiting")  # What is taken meanwhile waits, too.
        except errors.SchemaNotReady as error:
            bootstrap.give_up(error, "worker")
        _forget_builtin_tasks(app)

    def before_pool(instance: Any, **_: Any) -> None:
        here.slots = instance.concurrency or 1
        here.forks = instance.pool_cls.__module__.endswith("prefork")
        # In the pools that do not fork, all tasks of the worker share its engine.
        if not here.forks:
            app.road.engine.size = app.road.lease_engine.size = instance.concurrency or 1
            bootstrap.trace(app.road.settings, "worker")  # Else the children are traced, and not their parent.
        # Before it has reached the broker: who waits for one is alive, and can say what for.
        found = instance.consumer.pulse
        bootstrap.watch(app.road.settings, "worker", pages={"/healthz": found.health, "/readyz": found.readiness})
        bootstrap.settle_memory()

    def after_start(sender: Any, **_: Any) -> None:
        sender.pulse.watched = not sender.pool.is_green and not isinstance(sender.pool, solo.TaskPool)
        sender.pulse.begun = True
        if here.forks:
            cold.bound()
        else:
            _note(app, here)

    def set_up_logging(loglevel: int | None = None, logfile: str | None = None, **_: Any) -> None:
        logs.obey_celery(app.road.settings, "worker", loglevel=loglevel, logfile=logfile)

    def after_fork(**_: Any) -> None:
        app.road.engine.after_fork()
        app.road.lease_engine.after_fork()
        here.begin_child()
        _note(app, here)
        bootstrap.trace(app.road.settings, "worker")

    def before_end(**_: Any) -> None:
        bootstrap.end_traces()

    def before_stop(**_: Any) -> None:
        retirement.announce(app.road.settings.grace)

    signals.connection_changed.connect(here.broker)
    turns.celeryd_init.connect(before_queues, weak=False)
    turns.worker_init.connect(before_start, weak=False)
    turns.celeryd_after_setup.connect(before_pool, weak=False)
    turns.worker_ready.connect(after_start, weak=False)
    turns.worker_process_init.connect(after_fork, weak=False)
    turns.worker_process_shutdown.connect(before_end, weak=False)  # Of a child; it is not sent to one that is killed.
    turns.worker_shutdown.connect(before_end, weak=False)
    turns.worker_shutting_down.connect(before_stop, weak=False)
    turns.setup_logging.connect(set_up_logging, weak=False)


def _note(app: App, here: presence.Presence) -> None:
    """Have the worker noted by this process, or by another child of it."""
    types, engine = [handler.type for handler in app.road.registry], app.road.notes_engine
    version = app.road.settings.version
    # A connection for each note: of many workers, none keeps one for it.
    bootstrap.noter(
        engine, lambda: here.process(types, version), here.note, ours=here.is_ours, afterwards=engine.dispose
    ).start()


def _forget_builtin_tasks(app: App) -> None:
    """Nobody who can reach a queue shall have `celery.map` and its like run something here."""
    for name in [n for n in app.tasks if n.startswith("celery.")]:
        app.tasks.unregister(name)
