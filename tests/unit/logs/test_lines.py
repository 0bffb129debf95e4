"""A log line has what it must have, and a call is one line whatever is said."""

from __future__ import annotations

import logging
import os
import pty
import re
import threading
from typing import Any

import pytest

from service import settings
from service.telemetry import lines
from service.telemetry import logging as logs
from tests.unit.logs.reading import SECRETS, json_lines, log


def test_a_json_line_has_time_level_sentence_action_and_the_bound_ids(written: Any) -> None:
    written(log_format="json")
    with lines.bound(event_id="e1", request_id="r1"):
        log.warning("The %s is %d", "answer", 42, extra={"action": "answer.given", "queue": "events"})
    log.info("Nobody is bound")
    first, second = json_lines(written())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first.pop("time"))
    assert first == {
        "level": "warning",
        "message": "The answer is 42",
        "action": "answer.given",
        "event_id": "e1",
        "request_id": "r1",
        "queue": "events",
        "role": "web",
        "pid": os.getpid(),
        "logger": "millrace.test",
    }
    assert "event_id" not in second
    assert second["action"] == "millrace.test"


def test_a_text_line_is_for_people_and_has_no_colour_outside_of_a_terminal(written: Any) -> None:
    written(log_format="text")
    log.warning("It is late", extra={"action": "late", "event_id": "e1", "queue": "two words"})
    (line,) = written()
    moment, rest = line[:23], line[23:]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}", moment)
    assert rest == ' warning  web    It is late  action=late event_id=e1 queue="two words"'


def test_a_terminal_gets_colour_unless_it_wants_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def shown() -> bytes:
        ours, theirs = pty.openpty()
        logs.configure(settings.Settings(), "web", fd=theirs)
        log.warning("Look")
        found = os.read(ours, 1000)
        os.close(ours)
        os.close(theirs)
        return found

    monkeypatch.delenv("NO_COLOR", raising=False)
    assert b"\x1b[33mwarning" in shown()
    monkeypatch.setenv("NO_COLOR", "1")
    assert b"\x1b" not in shown()


def test_an_exception_comes_with_its_traceback(written: Any) -> None:
    written(log_format="json", **SECRETS)
    try:
        raise ConnectionError("no way to " + SECRETS["database_url"])
    except ConnectionError:
        log.exception("It failed", extra={"action": "failed"})
    (line,) = json_lines(written())
    assert line["error"] == "ConnectionError"
    assert "Traceback" in line["traceback"]
    assert "s3cret-of-pg" not in line["traceback"].replace('SECRETS["database_url"]', "")


def test_one_call_is_one_line_whatever_is_said(written: Any) -> None:
    written(log_format="text")
    log.info("first\n2026-01-01 00:00:00.000 error web forged\x1b[31m\r\x00")
    # Past the other handlers: pytest cannot report a lone surrogate.
    (ours,) = [h for h in logging.getLogger().handlers if isinstance(h, logs.Handler)]
    ours.handle(logging.makeLogRecord({"msg": "half \ud800"}))
    lines_found = written()
    assert len(lines_found) == 3
    assert lines_found[1].startswith("    2026-01-01")
    assert r"half \ud800" in lines_found[2]
    assert "\x1b" not in "".join(lines_found)


def test_a_mistake_in_a_log_call_costs_no_line(written: Any) -> None:
    class Silent:
        def __str__(self) -> str:
            raise RuntimeError

    written(log_format="json")
    log.info("%d things", "no")
    log.info("kept", extra={"thing": Silent()})
    log.info("%s", Silent())
    log.info("after", extra={"number": float("nan")})
    found = json_lines(written())
    assert [line["message"].split(" (")[0] for line in found] == [
        "%d things",
        "kept",
        "%s",
        "after",
    ]
    assert re.search(r"do not fit: test_lines.py:\d+", found[0]["message"])
    assert found[1]["thing"] == "(Silent, which cannot be shown)"
    assert found[3]["number"] == "nan"


def test_ids_are_bound_for_one_context_and_taken_back(written: Any) -> None:
    written(log_format="json")
    token = lines.bind(request_id="r1")
    thread = threading.Thread(target=lambda: log.info("elsewhere"))
    thread.start()
    thread.join()
    log.info("here")
    lines.unbind(token)
    lines.unbind(token)
    log.info("later")
    assert [line.get("request_id") for line in json_lines(written())] == [None, "r1", None]
