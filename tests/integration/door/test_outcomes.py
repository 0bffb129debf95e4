"""A client that waits for the outcome of what it posts."""

from __future__ import annotations

import concurrent.futures
import http.client
import json
import os
import pathlib
import signal
import threading
import time

import pytest
from flask.testing import FlaskClient

from service.web import gate
from tests.answers import document
from tests.front import Front, worked
from tests.integration.door.posts import post
from tests.ledgers import Ledger
from tests.patience import PATIENCE, wait, within
from tests.road import Road

pytestmark = pytest.mark.postgres


def test_the_answer_is_the_outcome_when_the_client_prefers_to_wait(ledger: Ledger, client: FlaskClient) -> None:
    with worked(ledger):
        answer = post(client, payload={"n": 7}, Prefer="wait=20")
    found = document(answer, 200)
    assert (found["state"], found["result"], found["payload"]) == ("succeeded", {"n": 7}, {"n": 7})
    assert answer.headers["Preference-Applied"] == "wait"
    assert answer.headers["Location"] == found["links"]["self"]


def test_after_the_time_the_answer_is_the_plain_202(ledger: Ledger, client: FlaskClient) -> None:
    began = time.monotonic()
    answer = post(client, Prefer="wait=1")
    assert document(answer, 202)["state"] == "pending"
    assert time.monotonic() - began >= 1.0
    assert answer.headers["Preference-Applied"] == "wait"


def test_no_more_than_a_quarter_of_the_threads_wait_and_one_query_looks_for_all(ledger: Ledger) -> None:
    front = Front(ledger, web_threads=16)
    looks: list[list[str]] = []
    ended = front.watch._ledger.ended

    def look(asked: list[str]) -> set[str]:
        looks.append(asked)
        return ended(asked)

    front.watch._ledger.ended = look  # type: ignore[method-assign,assignment]
    app = front.client().application
    app.extensions[gate.NAME] = gate.Gates(512)  # On a slow machine the ledger would be taken for slow.
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        posts = [pool.submit(post, app.test_client(), "", n, Prefer="wait=30") for n in range(12)]
        ledger.until(lambda: sum(p.done() for p in posts) == 8)
        ledger.until(lambda: any(len(asked) == 4 for asked in looks))
        with worked(ledger):
            answers = [p.result(30 * PATIENCE) for p in posts]
    plain = [a for a in answers if a.status_code == 202]
    assert len(plain) == 8
    assert all("Preference-Applied" not in a.headers for a in plain)
    assert [a.status_code for a in answers].count(200) == 4
    assert sum(t.name == "millrace-watch" and t.is_alive() for t in threading.enumerate()) >= 1


@pytest.mark.fault(40)
def test_a_web_process_that_is_told_to_stop_answers_those_who_wait(database: str, tmp_path: pathlib.Path) -> None:
    """No worker and no broker: nothing ends the event, and the client would wait for half a minute."""
    road = Road(database, "amqp://guest:guest@127.0.0.1:9//", tmp_path)
    try:
        door = road.web()
        host, _, port = door.address.partition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=40 * PATIENCE)
        connection.request(
            "POST", "/v1/events/ledger.step", "{}", {"Content-Type": "application/json", "Prefer": "wait=30"}
        )
        wait(lambda: road.sql("select 1 from millrace.events") == [(1,)], 10, "the event is stored")
        with within(8):
            os.kill(door.process.pid, signal.SIGTERM)
            response = connection.getresponse()
            assert (response.status, json.loads(response.read())["state"]) == (202, "pending")
            assert door.process.wait_for_end() == 0
    except BaseException:
        print(road.logs())  # noqa: T201
        raise
    finally:
        road.stop()
