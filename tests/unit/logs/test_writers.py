"""Who writes: handlers, guests, Celery and its options, threads that end by an error."""

from __future__ import annotations

import datetime
import logging
import os
import pathlib
import sys
import threading
import warnings
from typing import Any

import pytest
from granian import log as granian_log

from service import settings
from service.application import calling, context
from service.domain.event import Event
from service.domain.handlers import Handler
from service.telemetry import logging as logs
from tests.unit.logs.reading import json_lines, log


def test_a_line_that_is_said_in_a_handler_has_the_ids_of_its_event(written: Any) -> None:
    written(log_format="json")
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    now = datetime.datetime.now(datetime.UTC)
    found = Event("e-1", "a.b", {}, 1, now, request_id="r-1", traceparent=f"00-{trace}-00f067aa0ba902b7-01")
    handler = Handler("a.b", lambda payload, ctx: logging.getLogger("shop").info("sold"), bundle=1)
    calling.call(handler, {}, context.Context(None, [found], shared=False))  # type: ignore[arg-type]
    log.info("outside")
    inside, outside = json_lines(written())
    assert (inside["event_id"], inside["request_id"], inside["trace_id"]) == ("e-1", "r-1", trace)
    assert inside["action"] == "shop"
    assert not {"event_id", "request_id", "trace_id"} & outside.keys()


def test_guests_write_our_lines_and_nothing_else(written: Any, capfd: pytest.CaptureFixture[str]) -> None:
    written(log_format="json")
    granian_log.configure_logging(granian_log.LogLevels.info, logs.granian_config())
    for name in (
        "_granian",
        "granian.access",
        "werkzeug",
        "celery.worker",
        "celery.task",
        "celery.redirected",
    ):
        logging.getLogger(name).info("Said by %s", name)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("Old ways", stacklevel=1)
    found = json_lines(written())
    assert [line["logger"] for line in found] == [
        "_granian", "granian.access", "werkzeug", "celery.worker", "celery.task", "celery.redirected", "py.warnings",
    ]  # fmt: skip
    assert all(line["action"] and line["level"] and line["message"] for line in found)
    assert capfd.readouterr() == ("", "")


def test_what_celery_says_of_every_message_is_for_debugging(written: Any) -> None:
    written(log_format="json")
    logging.getLogger("celery.app.trace").info("Task a.b[1] succeeded", extra={"data": {"args": "(1,)"}})
    assert written() == []
    written(log_format="json", log_level="debug")
    logging.getLogger("celery.app.trace").info("Task a.b[1] succeeded", extra={"data": {"args": "(1,)"}})
    assert "data" not in json_lines(written())[0]


def test_celerys_own_options_are_obeyed(written: Any, tmp_path: pathlib.Path) -> None:
    chosen = settings.Settings(log_format="json")
    written(log_format="json")
    logs.obey_celery(chosen, "worker", loglevel=logging.WARNING, logfile=None)
    log.info("The setting counts")
    logs.obey_celery(chosen, "worker", loglevel=logging.ERROR, logfile=None)
    log.warning("Not important enough")
    path = tmp_path / "worker.log"
    logs.obey_celery(chosen, "worker", loglevel=logging.INFO, logfile=str(path))
    log.info("To the file")
    path.rename(tmp_path / "worker.log.1")
    log.info("To the new file")
    assert [line["message"] for line in json_lines(written())] == ["The setting counts"]
    assert [line["message"] for line in json_lines(path.read_text().splitlines())] == ["To the new file"]


def test_a_thread_that_ends_by_an_error_says_so(written: Any) -> None:
    written(log_format="json")
    for end in (ValueError("no"), SystemExit(1)):
        thread = threading.Thread(target=_raise, args=(end,), name="loop")
        thread.start()
        thread.join()
    (line,) = json_lines(written())
    assert (line["message"], line["error"]) == ("The thread loop has ended", "ValueError")


def test_a_process_that_ends_by_an_error_says_so_without_its_secrets(written: Any) -> None:
    written(log_format="json")
    try:
        _raise(ValueError("no way to amqp://road:geheim@rabbit/v"))
    except ValueError as error:
        sys.excepthook(ValueError, error, error.__traceback__)
    (line,) = json_lines(written())
    assert (line["level"], line["action"], line["error"]) == ("critical", "process.ended", "ValueError")
    assert "amqp://road:***@rabbit/v" in line["traceback"]


def _raise(error: BaseException) -> None:
    raise error


def test_configuring_again_changes_the_lines_and_doubles_none(written: Any) -> None:
    before = len(os.listdir("/proc/self/fd"))
    forms = ("text", "json") * 4
    for form in forms:
        written(log_format=form)
    log.info("once")
    assert len(written()) == 1
    # Threads that other tests have left may have opened something meanwhile.
    assert len(os.listdir("/proc/self/fd")) < before + len(forms)
