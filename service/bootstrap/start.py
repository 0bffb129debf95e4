"""How every process begins, and how it ends when it cannot."""

from __future__ import annotations

import contextlib
import gc
import logging
import sys
import traceback
from typing import NoReturn

from service import crashpoints, plugins, safety
from service.domain import errors
from service.ledger import engine as engines
from service.ledger import schema
from service.settings import Settings, load
from service.telemetry import logging as logs
from service.telemetry import printed, tracing

log = logging.getLogger("millrace")

#: What is said of a server that cannot be used → where its address comes from.
SETTINGS = {errors.LedgerUnavailable: "MILLRACE_DATABASE_URL", errors.BrokerUnavailable: "MILLRACE_BROKER_URL"}
#: How a process ends that its settings keep from starting (EX_CONFIG of sysexits.h): no supervisor need try again.
MISCONFIGURED = 78


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
    # What an app prints while it is imported.
    with printed.taken() if logs.is_json() else contextlib.nullcontext():
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


def give_up(error: errors.MillraceError, role: str) -> NoReturn:
    """End a process that cannot start: a line for each fault, in the form of its log."""
    lines = explain(error).splitlines()
    if logs.is_json():
        logs.refuse(role, lines)
    else:
        sys.stderr.writelines(f"millrace: {line}\n" for line in lines)
    sys.exit(exit_code(error))


def exit_code(error: Exception) -> int:
    """How a command ends that failed so."""
    return MISCONFIGURED if isinstance(error, errors.SettingsError) else 1


def explain(error: Exception) -> str:
    """What an operator is told of an error: of a server that is away, the setting that names it too."""
    setting = next((name for kind, name in SETTINGS.items() if isinstance(error, kind)), None)
    return f"{error} (is the server there, and {setting} right?)" if setting else str(error)


def settle_memory() -> None:
    """What a process has loaded by now stays: the search for garbage passes it by from here on, and forks share it.

    And it searches less often than after 700 new objects, which a batch of events makes many times over.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
