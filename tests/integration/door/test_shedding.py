"""A door that has too much to do says so in time, and asks for patience."""

from __future__ import annotations

import concurrent.futures
import math
import threading
import time
import types

import psycopg2
import pytest

from service.domain import errors
from service.web import gate
from tests.answers import document
from tests.front import Front
from tests.integration.door.posts import post
from tests.ledgers import Ledger
from tests.patience import PATIENCE, within

pytestmark = pytest.mark.postgres


@pytest.mark.fault(20)
def test_posts_are_refused_before_the_last_thread_waits_for_the_ledger(ledger: Ledger) -> None:
    client = Front(ledger, web_threads=8).client()
    app = client.application
    document(post(client), 202)
    lock = psycopg2.connect(ledger.url)
    lock.cursor().execute("lock table millrace.events in access exclusive mode")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        stuck = [pool.submit(post, app.test_client()) for _ in range(4)]
        ledger.until(lambda: len(app.extensions[gate.NAME].posts._inside) == 4)
        time.sleep(gate.PATIENCE + 0.2)  # That they wait for so long is what the gate goes by.
        with within(3.0):  # The ledger has them wait for ten.
            answers = [pool.submit(post, app.test_client()) for _ in range(4)]
            refusals = [a.result(10 * PATIENCE) for a in answers]
        for answer in refusals:
            assert document(answer, 503)["stored"] == "no"
            assert int(answer.headers["Retry-After"]) >= 1
        document(client.get("/healthz"), 200)
        lock.close()
        for answer in stuck:
            document(answer.result(10 * PATIENCE), 202)
    document(post(client), 202)


def test_a_gate_lets_any_number_in_while_they_come_out_again(monkeypatch: pytest.MonkeyPatch) -> None:
    now, patience = [100.0], 0.2
    monkeypatch.setattr(gate, "time", types.SimpleNamespace(monotonic=lambda: now[0]))
    found = gate.Gate(1, lambda seconds: errors.Overloaded(retry_after=seconds), patience=patience)
    inside, stop = threading.Barrier(3), threading.Event()

    def enter() -> None:
        with found:
            inside.wait(10 * PATIENCE)
            stop.wait(10 * PATIENCE)

    threads = [threading.Thread(target=enter) for _ in range(2)]
    for thread in threads:
        thread.start()
    inside.wait(10 * PATIENCE)  # Both are inside, though there is room for one: nobody has waited for long.
    assert not _refuses(found)
    now[0] += patience + 0.1
    assert _refuses(found)
    stop.set()
    for thread in threads:
        thread.join()
    with found:
        pass


def _refuses(found: gate.Gate) -> bool:
    try:
        with found:
            return False
    except errors.Overloaded as error:
        return error.retry_after == 1


def test_the_longer_the_ledger_is_away_the_longer_clients_are_asked_to_wait(ledger: Ledger) -> None:
    ledger.post("a.b", 1)
    intake = ledger.intake
    assert intake._retry_after() == 1
    for seconds, wanted in ((0.1, 1), (4.5, 5), (1000.0, 30)):
        intake._away_since = since = time.monotonic() - seconds
        told = intake._retry_after()
        assert wanted <= told <= max(wanted, math.ceil(time.monotonic() - since))
    ledger.post("a.b", 2)
    assert intake._retry_after() == 1
