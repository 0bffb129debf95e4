"""Lines: a log record as one line of JSON, or as a line for people.

Every line has time, level, role, sentence and ``action``, and the ids that are bound where it was
written: in a request its id, in a handler those of the event.
"""

from __future__ import annotations

import contextlib
import contextvars
import datetime
import json
import logging
import math
import re
import types
from collections.abc import Iterator, Mapping
from typing import Any

from service.application import context
from service.telemetry import masking

#: What a record has that nobody gave it, and Celery's copy of a task's arguments.
OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "data"}
FIRST = ("action", "event_id", "request_id", "trace_id")  #: of what is given beside the sentence
SENTENCE = 8_192  #: characters kept

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
PLAIN = re.compile(r"[^\s\"'=]+")

COLOURS = {"warning": "\x1b[33m", "error": "\x1b[31m", "critical": "\x1b[31;1m", "debug": "\x1b[2m"}
RESET = "\x1b[0m"

_bound: contextvars.ContextVar[Mapping[str, str]] = contextvars.ContextVar(
    "millrace_bound", default=types.MappingProxyType({})
)


def bind(**words: str) -> contextvars.Token[Mapping[str, str]]:
    """Give ids (``event_id``, ``request_id``) to every line of this context, until ``unbind``."""
    return _bound.set({**_bound.get(), **words})


def unbind(token: contextvars.Token[Mapping[str, str]]) -> None:
    """Take back what a ``bind`` gave."""
    # A token of another context binds nothing here.
    with contextlib.suppress(ValueError, RuntimeError):
        _bound.reset(token)


@contextlib.contextmanager
def bound(**words: str) -> Iterator[None]:
    """Give ids to every line inside of the block."""
    token = bind(**words)
    try:
        yield
    finally:
        unbind(token)


class Formatter(logging.Formatter):
    """What both forms have in common."""

    def __init__(self, role: str, mask: masking.Mask) -> None:
        super().__init__()
        self.role = role
        self.mask = mask

    def sentence(self, record: logging.LogRecord) -> str:
        """What is said, without secrets, colours and control characters."""
        try:
            text = record.getMessage()
        except Exception:  # A mistake in a log call costs no line.
            text = f"{record.msg} (its values do not fit: {record.filename}:{record.lineno})"
        text = CONTROL.sub(_escape, ESCAPES.sub("", text.strip()))
        return self.mask.text(text)[:SENTENCE]

    def given(self, record: logging.LogRecord) -> dict[str, Any]:
        """What goes with the sentence: action, ids, and what else was given as ``extra``."""
        extra = {name: value for name, value in vars(record).items() if name not in OWN}
        found = {"action": record.name, **_bound.get(), **_ids(context.running.get()), **extra}
        order = [*FIRST, *sorted(found.keys() - set(FIRST))]
        return {name: self.mask.value(name, found[name]) for name in order if name in found}

    def trace(self, record: logging.LogRecord) -> str:
        """The traceback, or an empty string."""
        parts = []
        if record.exc_info and record.exc_info[0] is not None:
            parts.append(self.formatException(record.exc_info))
        if record.stack_info:
            parts.append(record.stack_info)
        return self.mask.text(CONTROL.sub(_escape, "\n".join(parts)))


class Json(Formatter):
    """One JSON object to a line."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        moment = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        line: dict[str, Any] = {
            "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "message": self.sentence(record),
            "role": self.role,
            "pid": record.process,
            "logger": record.name,
        }
        line = {**{name: _finite(value) for name, value in self.given(record).items()}, **line}
        if record.exc_info and record.exc_info[0] is not None:
            line["error"] = record.exc_info[0].__name__
        if trace := self.trace(record):
            line["traceback"] = trace
        order = [
            "time",
            "level",
            "message",
            "action",
            *sorted(line.keys() - {"time", "level", "message", "action"}),
        ]
        return json.dumps({name: line[name] for name in order}, ensure_ascii=False)


class Text(Formatter):
    """A line for people; what belongs to it below is indented."""

    def __init__(self, role: str, mask: masking.Mask, *, colour: bool = False) -> None:
        super().__init__(role, mask)
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        """The line, and the traceback below it."""
        moment = datetime.datetime.fromtimestamp(record.created)
        level = record.levelname.lower()
        shown = f"{level:<8}"
        if self._colour and level in COLOURS:
            shown = f"{COLOURS[level]}{shown}{RESET}"
        time = moment.isoformat(sep=" ", timespec="milliseconds")
        words = " ".join(f"{name}={_quoted(value)}" for name, value in self.given(record).items())
        line = f"{time} {shown} {self.role:<6} {self.sentence(record)}  {words}"
        if trace := self.trace(record):
            line += "\n" + trace
        return line.replace("\n", "\n    ")


def _ids(run: context.Context | None) -> dict[str, str]:
    """What a line that is said in a handler belongs to: its event, the request that brought that, the trace."""
    if run is None:
        return {}
    trace = run.traceparent.split("-")[1] if run.traceparent else None
    found = {"event_id": run.event.id, "request_id": run.event.request_id, "trace_id": trace}
    return {name: value for name, value in found.items() if value}


def _escape(match: re.Match[str]) -> str:
    return f"\\x{ord(match[0]):02x}"


def _quoted(value: object) -> str:
    text = CONTROL.sub(_escape, str(value))
    return text if PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def _finite(value: object) -> object:
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
