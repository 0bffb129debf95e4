"""A sick place to write to holds up no work."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import pathlib
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from service import settings
from service.telemetry import logging as logs
from service.telemetry import sink
from tests.patience import within
from tests.unit.logs.reading import json_lines, log


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
        with within(5.0):  # It is a tenth of a second for each that was waited for.
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
        with within(10.0):
            for _ in range(3000):
                log.info("x" * 1000)


def test_a_folder_that_is_gone_costs_lines_only(tmp_path: pathlib.Path) -> None:
    place = sink.Sink(-1, path=str(tmp_path / "no" / "log"))
    assert not place.write(b"x\n")
    (tmp_path / "no").mkdir()
    assert place.write(b"y\n")
    place.close()
    assert (tmp_path / "no" / "log").read_text() == "y\n"


def test_a_process_forked_off_logs_while_others_do(written: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    written(log_format="json")
    # Those of pytest write to files whose locks no child gets back.
    ours = [h for h in logging.getLogger().handlers if type(h).__module__.startswith("service.")]
    assert ours
    monkeypatch.setattr(logging.getLogger(), "handlers", ours)
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
