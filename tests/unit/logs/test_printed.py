"""What is printed is said by the log."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from service import settings
from service.telemetry import logging as logs
from service.telemetry import printed
from tests.unit.logs.reading import json_lines


@pytest.fixture
def told(written: Any) -> Callable[[], list[tuple[str, str]]]:
    """The level and the sentence of each line."""
    written(log_format="json")
    return lambda: [(line["level"], line["message"]) for line in json_lines(written())]


def test_a_line_of_output_is_a_line_of_the_log(told: Any) -> None:
    with printed.taken():
        sys.stdout.write("one\n\ntwo, ")
        assert told() == [("info", "one")]
        sys.stdout.write("still two\nthree")
        sys.stdout.flush()
        sys.stderr.write("four\n")
    assert told() == [("info", "one"), ("info", "two, still two"), ("info", "three"), ("warning", "four")]


def test_threads_do_not_share_a_line(told: Any) -> None:
    with printed.taken():
        sys.stdout.write("begun ")
        other = threading.Thread(target=sys.stdout.write, args=("other\n",))
        other.start()
        other.join()
        sys.stdout.write("and ended\n")
    assert told() == [("info", "other"), ("info", "begun and ended")]


def test_a_line_that_never_ends_is_told_in_pieces(told: Any) -> None:
    with printed.taken():
        sys.stdout.write("a" * (printed.LONGEST + 1))
        assert [len(said) for _, said in told()] == [printed.LONGEST]


def test_a_handler_of_an_app_that_writes_to_standard_error_is_not_told_of_itself(told: Any) -> None:
    with printed.taken():
        handler = logging.StreamHandler()
        logging.getLogger().addHandler(handler)
        try:
            logging.getLogger("shop").warning("sold")
        finally:
            logging.getLogger().removeHandler(handler)
    assert told() == [("warning", "sold"), ("warning", "sold")]


def test_it_is_taken_once_and_where_logs_are_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    monkeypatch.setattr(sys, "stderr", sys.stderr)
    before = sys.stdout
    logs.take_output(settings.Settings(log_format="text"))
    assert sys.stdout is before
    logs.take_output(settings.Settings(log_format="json"))
    found = sys.stdout
    logs.take_output(settings.Settings(log_format="json"))
    assert sys.stdout is found is not before
    assert found.fileno() == before.fileno()
