"""One question for all who come while it is asked."""

from __future__ import annotations

import threading
import time
import types
from concurrent.futures import ThreadPoolExecutor

import pytest

from service.application.turn import Turn
from service.domain import errors
from tests.patience import PATIENCE, wait


def test_who_waited_for_a_question_that_failed_does_not_ask_again(monkeypatch: pytest.MonkeyPatch) -> None:
    turn, asked, fail = Turn(), threading.Semaphore(0), threading.Event()
    questions: list[int] = []
    came: list[float] = []

    def now() -> float:
        came.append(time.monotonic())
        return came[-1]

    monkeypatch.setattr("service.application.turn.time", types.SimpleNamespace(monotonic=now))

    def ask(number: int) -> None:
        with turn:
            questions.append(number)
            asked.release()
            fail.wait(20 * PATIENCE)
            raise errors.LedgerUnavailable("silent")

    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(ask, 0)
        asked.acquire()
        others = [pool.submit(ask, number) for number in range(1, 8)]
        wait(lambda: len(came) == 8, 10, "all of them have come")
        fail.set()
        for one in (first, *others):
            with pytest.raises(errors.LedgerUnavailable):
                one.result(20 * PATIENCE)
    assert questions == [0]


def test_who_comes_afterwards_asks() -> None:
    turn = Turn()
    with pytest.raises(errors.LedgerUnavailable), turn:
        raise errors.LedgerUnavailable("silent")
    with turn:
        pass


def test_any_other_error_is_of_who_met_it() -> None:
    turn = Turn()
    with pytest.raises(ValueError, match="mine"), turn:
        raise ValueError("mine")
    with turn:
        pass
