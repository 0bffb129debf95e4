"""Logging: every logger of the process, ours and those of Celery, granian and werkzeug, writes the
same lines.

What is said where: ``lines``. Where it goes: ``sink``. A log call never blocks for long and never
raises; lines that could not be written are counted, and the next line that can be says how many
they were.
"""

from __future__ import annotations

import logging
import sys
import threading
import types
from typing import Any

from service import settings as environment
from service.settings import Settings
from service.telemetry import masking, printed
from service.telemetry.lines import Formatter, Json, Text, bind, bound, unbind
from service.telemetry.sink import Sink

log = logging.getLogger("millrace.log")

STDERR = 2

#: Loggers that bring handlers of their own, or do not pass on what they are told.
GUESTS = (
    "_granian", "granian.access", "werkzeug", "flask.app", "celery", "celery.task",
    "celery.redirected", "multiprocessing", "alembic", "py.warnings",
)  # fmt: skip

#: These say something for every message or step; that is for debugging.
CHATTY = ("celery.worker.strategy", "celery.app.trace", "amqp", "kombu", "alembic")


class Handler(logging.Handler):
    """Writes records to a sink, which is shared by all loggers of the process."""

    def __init__(self, sink: Sink, formatter: Formatter) -> None:
        super().__init__()
        self.sink = sink
        self.setFormatter(formatter)
        self._lost = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line, or count it as lost."""
        try:
            if self._lost and self._write(_lost(self._lost)):
                self._lost = 0
            if self._lost or not self._write(record):
                self._lost += 1
        except Exception:  # Nothing that goes wrong with a line is worth more than the work.
            self._lost += 1

    def _write(self, record: logging.LogRecord) -> bool:
        return self.sink.write((self.format(record) + "\n").encode("utf-8", "backslashreplace"))


def configure(settings: Settings, role: str, *, fd: int = STDERR) -> None:
    """Set up logging for this process. It may be called again; the last call counts."""
    _install(Sink(fd), settings, role)
    set_level(getattr(logging, settings.log_level.upper()))
    for name in GUESTS:
        guest = logging.getLogger(name)
        guest.handlers.clear()
        guest.propagate = True
    logging.captureWarnings(True)
    logging.raiseExceptions = False
    threading.excepthook = _on_thread_end
    sys.excepthook = _on_end


def take_output(settings: Settings) -> None:
    """Of a process that is read by its log: where that is JSON, what is printed is a line of it, too."""
    if settings.log_format == "json":
        printed.take()


def is_json() -> bool:
    """Whether this process writes JSON; before its logs are set up, whether it is to."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, Handler):
            return isinstance(handler.formatter, Json)
    return environment.environment(f"{environment.PREFIX}LOG_FORMAT").strip() == "json"


def refuse(role: str, lines: list[str]) -> None:
    """Say in JSON why a process cannot start, perhaps because of the settings of its logs."""
    if not any(isinstance(handler, Handler) for handler in logging.getLogger().handlers):
        configure(Settings.model_construct(log_format="json"), role)
    for line in lines:
        log.critical("%s", line, extra={"action": "start.refused"})


def set_level(level: int) -> None:
    """Say what is at least as important as ``level``."""
    logging.getLogger().setLevel(level)
    for name in CHATTY:
        logging.getLogger(name).setLevel(level if level <= logging.DEBUG else max(level, logging.WARNING))


def obey_celery(settings: Settings, role: str, *, loglevel: int | None, logfile: str | None) -> None:
    """Celery's own options ``-l`` and ``-f``; for its signal ``setup_logging``."""
    # Celery does not tell its default, WARNING, from a wish for it: then the setting counts.
    if loglevel and loglevel != logging.WARNING:
        set_level(loglevel)
    if logfile:
        _install(Sink(-1, path=logfile), settings, role)


def granian_config() -> dict[str, Any]:
    """For granian's ``log_dictconfig``: no handlers of its own, so that its lines come to ours."""
    plain = {"handlers": [], "propagate": True}
    return {
        "handlers": {},
        "formatters": {},
        "loggers": {"_granian": dict(plain), "granian.access": {**plain, "level": "INFO"}},
    }


def _install(sink: Sink, settings: Settings, role: str) -> None:
    mask = masking.of(settings)
    formatter: Formatter = Json(role, mask)
    if settings.log_format == "text":
        formatter = Text(role, mask, colour=sink.is_terminal and not environment.environment("NO_COLOR"))
    root = logging.getLogger()
    handler = Handler(sink, formatter)
    for old in list(root.handlers):
        # Handlers of other kinds, such as those of a test, stay.
        if isinstance(old, Handler) or type(old) is logging.StreamHandler:
            root.removeHandler(old)
            _release(old)
    root.addHandler(handler)


def _release(old: logging.Handler) -> None:
    # Not in `close`, which logging.config calls for handlers that stay in use.
    if isinstance(old, Handler):
        old.acquire()
        try:
            old.sink.close()
        finally:
            old.release()


def _lost(count: int) -> logging.LogRecord:
    said = "One log line was lost" if count == 1 else f"{count} log lines were lost"
    given = {
        "name": log.name,
        "levelno": logging.WARNING,
        "levelname": "WARNING",
        "msg": said,
        "action": "log.lost",
    }
    return logging.makeLogRecord(given)


def _on_thread_end(args: threading.ExceptHookArgs) -> None:
    if args.exc_type is SystemExit or args.exc_value is None:
        return
    name = args.thread.name if args.thread else "unknown"
    found = (args.exc_type, args.exc_value, args.exc_traceback)
    log.error("The thread %s has ended", name, exc_info=found, extra={"action": "thread.ended"})


def _on_end(kind: type[BaseException], error: BaseException, trace: types.TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    found = (kind, error, trace)
    log.critical("The process ends by an error", exc_info=found, extra={"action": "process.ended"})


__all__ = [
    "bind",
    "bound",
    "configure",
    "granian_config",
    "is_json",
    "obey_celery",
    "refuse",
    "set_level",
    "take_output",
    "unbind",
]
