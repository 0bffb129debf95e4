"""Logging: every line has what it must have, no secret gets into one, and no line holds up work."""

from __future__ import annotations

import contextlib
import datetime
import json
import logging
import os
import pathlib
import pty
import re
import socket
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from granian import log as granian_log

from service import settings
from service.application import calling, context
from service.domain.event import Event
from service.domain.handlers import Handler
from service.telemetry import lines, masking, sink
from service.telemetry import logging as logs
from tests.patience import within

log = logging.getLogger("millrace.test")

SECRETS = {
    "database_url": "postgresql://road:s3cret-of-pg@db:5432/millrace",
    "broker_url": "amqp://road:p%40ss%2Fword@rabbit:5672/v",
}


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """What is set up in a test ends with it."""
    root = logging.getLogger()
    names = ["", *logs.GUESTS, *logs.CHATTY]
    before = [(n, (found := logging.getLogger(n)).level, found.handlers[:], found.propagate) for n in names]
    hook, raising = threading.excepthook, logging.raiseExceptions
    yield
    for handler in root.handlers:
        if isinstance(handler, logs.Handler):
            handler.sink.close()
    for name, level, handlers, propagate in before:
        logger = logging.getLogger(name)
        logger.setLevel(level)
        logger.handlers[:] = handlers
        logger.propagate = propagate
    threading.excepthook, logging.raiseExceptions = hook, raising
    logging.captureWarnings(False)


@pytest.fixture
def written(tmp_path: pathlib.Path) -> Iterator[Callable[..., list[str]]]:
    """A function that sets up logging at its first call, and gives the lines so far at each."""
    path = tmp_path / "log"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def read(**given: Any) -> list[str]:
        if given:
            logs.configure(settings.Settings(**given), "web", fd=fd)
        return path.read_text().splitlines()

    yield read
    os.close(fd)


def json_lines(found: list[str]) -> list[dict[str, Any]]:
    """The lines, parsed."""
    return [json.loads(line) for line in found]


# --- what a line has ----------------------------------------------------------------------------


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
    assert re.search(r"do not fit: test_logging.py:\d+", found[0]["message"])
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


# --- who writes ---------------------------------------------------------------------------------


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


def _raise(error: BaseException) -> None:
    raise error


def test_configuring_again_changes_the_lines_and_doubles_none(written: Any) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for form in ("text", "json", "text", "json"):
        written(log_format=form)
    log.info("once")
    assert len(written()) == 1
    assert len(os.listdir("/proc/self/fd")) <= before + 1


# --- secrets ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("amqp://user:pass@host:5672/v", "amqp://user:***@host:5672/v"),
        (
            "postgresql+psycopg2://u:p@ss@host/db and more",
            "postgresql+psycopg2://u:***@host/db and more",
        ),
        ("amqp://:pass@host", "amqp://:***@host"),
        ("a://u:1@h, b://v:2@i", "a://u:***@h, b://v:***@i"),
        ("host=db password=geheim user=me", "host=db password=*** user=me"),
        ("host=db password='two words' user=me", "host=db password=*** user=me"),
        ('{"api_key": "abc", "n": 1}', '{"api_key": ***, "n": 1}'),
        ("http://127.0.0.1:9101/metrics", "http://127.0.0.1:9101/metrics"),
        ("http://host:80/a@b", "http://host:80/a@b"),
        ("me@example.org at 12:30", "me@example.org at 12:30"),
    ],
)
def test_passwords_are_masked(text: str, safe: str) -> None:
    assert masking.Mask().text(text) == safe


def test_the_passwords_of_the_settings_are_masked_wherever_they_turn_up(written: Any) -> None:
    written(log_format="json", **SECRETS)
    log.info("quoted p%40ss%2Fword", extra={"meant": "it is p@ss/word", "authorization": "Bearer x"})
    log.info("It is %s", SECRETS["database_url"])
    text = "\n".join(written())
    assert not re.search(r"p%40ss|p@ss|Bearer|s3cret", text)
    assert "postgresql://road:***@db:5432/millrace" in text


def test_short_passwords_of_the_settings_are_words() -> None:
    mask = masking.Mask(["amqp://guest:guest@host/", "no url", "http://[broken"])
    assert mask.text("a guest came") == "a guest came"
    assert mask.value("n", 3) == 3
    assert mask.value("cookie", 3) == masking.MASK


# --- a sick place to write to -------------------------------------------------------------------


@contextlib.contextmanager
def full_pipe() -> Iterator[tuple[int, int]]:
    """A pipe whose reader stands still: (its end, ours)."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writing, b"x" * 4096)
    os.set_blocking(writing, True)
    yield reading, writing
    for fd in (reading, writing):
        with contextlib.suppress(OSError):
            os.close(fd)


def drained(fd: int) -> bytes:
    """What lies in a pipe or socket."""
    os.set_blocking(fd, False)
    found = b""
    with contextlib.suppress(BlockingIOError):
        while part := os.read(fd, 1 << 20):
            found += part
    return found


@pytest.mark.fault(53)
@pytest.mark.parametrize("own", [True, False], ids=["opened again", "as given"])
def test_a_reader_that_stands_still_does_not_hold_up_work(own: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    with full_pipe() as (reading, writing):
        if not own:
            monkeypatch.setattr(sink.os, "open", _refuse)
        logs.configure(settings.Settings(log_format="json"), "web", fd=writing)
        with within(1.0):
            for number in range(500):
                log.info("line %d", number)
        assert os.get_blocking(writing)  # Others who share it feel nothing.
        drained(reading)
        log.info("again")
        found = json_lines(drained(reading).decode().splitlines())
        assert [line["message"] for line in found] == ["500 log lines were lost", "again"]


def _refuse(*_: Any) -> int:
    raise PermissionError


def test_a_line_that_was_torn_does_not_spoil_the_next() -> None:
    reading, writing = os.pipe()
    place = sink.Sink(writing)
    assert not place.write(b"x" * 200_000 + b"\n")
    assert set(drained(reading)) == {ord("x")}
    assert place.write(b"next\n")
    assert drained(reading) == b"\nnext\n"
    place.close()
    os.close(reading)
    os.close(writing)


@pytest.mark.fault(53)
def test_a_reader_that_went_away_or_a_full_disk_raise_nothing() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    full = os.open("/dev/full", os.O_WRONLY)
    for fd in (writing, full, 987):
        logs.configure(settings.Settings(), "web", fd=fd)
        log.error("Nobody hears this")
    os.close(writing)
    os.close(full)


def test_a_socket_is_written_to_and_never_waited_for() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        logs.configure(settings.Settings(log_format="json"), "web", fd=theirs.fileno())
        log.info("hello")
        assert json.loads(drained(ours.fileno()))["message"] == "hello"
        with within(3.0):
            for _ in range(3000):
                log.info("x" * 1000)


def test_a_folder_that_is_gone_costs_lines_only(tmp_path: pathlib.Path) -> None:
    place = sink.Sink(-1, path=str(tmp_path / "no" / "log"))
    assert not place.write(b"x\n")
    (tmp_path / "no").mkdir()
    assert place.write(b"y\n")
    place.close()
    assert (tmp_path / "no" / "log").read_text() == "y\n"


def test_a_process_forked_off_logs_while_others_do(written: Any) -> None:
    written(log_format="json")
    stop = threading.Event()

    def talk() -> None:
        while not stop.wait(0.0001):
            log.info("parent")

    thread = threading.Thread(target=talk)
    thread.start()
    for _ in range(10):
        child = os.fork()
        if child == 0:
            log.info("child")
            os._exit(0)
        os.waitpid(child, 0)
    stop.set()
    thread.join()
    said = [line["message"] for line in json_lines(written())]
    assert said.count("child") == 10
