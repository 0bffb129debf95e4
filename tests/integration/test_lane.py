"""The door before Flask: the express lane answers as Flask does, and a body is read before a thread is taken."""

from __future__ import annotations

import concurrent.futures
import contextlib
import http.client
import json
import pathlib
import select
import socket
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest

from tests.door import TIMEOUT, Answer, Door, accepted, assert_in_time, refused
from tests.patience import PATIENCE, wait
from tests.road import Road

pytestmark = pytest.mark.postgres

AWAY = "amqp://guest:guest@127.0.0.1:1//"  #: a broker that nobody has started
POST = b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n%s\r\n\r\n"


@pytest.fixture
def road(database: str, tmp_path: pathlib.Path) -> Iterator[Road]:
    """A ledger without a broker."""
    road = Road(database, AWAY, tmp_path)
    yield road
    road.stop()


@pytest.fixture
def make_door(road: Road) -> Callable[..., Door]:
    """Makes a web process on it."""
    return road.web


def post(door: Door, body: bytes, **headers: str) -> tuple[int, list[str], dict[str, Any]]:
    """Status, names of headers, and document of a post, without what differs from one post to the next."""
    connection = http.client.HTTPConnection(door.address, timeout=TIMEOUT)
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    with contextlib.closing(connection):
        connection.request("POST", "/v1/events/ledger.step", body, {"Content-Type": "application/json"} | given)
        response = connection.getresponse()
        document = json.loads(response.read())
        names = sorted(name.lower() for name, _ in response.getheaders())
        for name in ("id", "accepted_at", "links"):
            document.pop(name, None)
        return response.status, names, document


#: Bodies, good and bad, and how they are answered.
BODIES = {
    b"{}": 202, b'{"seconds": 0.5}': 202, b"": 400, b"{": 400, b"[" * 40 + b"]" * 40: 400, b'{"a": 1, "a": 2}': 400,
    b" " * 300_000: 413,
}  # fmt: skip


def test_the_express_lane_answers_as_flask_does(make_door: Callable[..., Door]) -> None:
    door = make_door()
    for number, (body, status) in enumerate(BODIES.items()):
        for headers in ({}, {"Idempotency_Key": f'"{number}"'}, {"Idempotency_Key": "no key"}):
            express = post(door, body, X_Request_Id="r", **headers)
            # A preference that means nothing to us keeps a request off the lane.
            assert post(door, body, X_Request_Id="r", Prefer="handling=lenient", **headers) == express
            assert express[0] == (400 if "no key" in headers.values() else status)


def test_no_page_of_another_origin_posts_while_access_is_off(make_door: Callable[..., Door], road: Road) -> None:
    door = make_door()
    pages: tuple[dict[str, str], ...] = (
        {"Origin": "http://localhost:8080"}, {"Origin": "http://127.0.0.1:1"}, {"Origin": "null"},
        {"Sec_Fetch_Site": "same-site"}, {"Sec_Fetch_Site": "cross-site"},
        {"Origin": f"http://{door.address}", "Sec_Fetch_Site": "same-site"},
    )  # fmt: skip
    for page in pages:
        for lane in ({}, {"Prefer": "handling=lenient"}):
            status, _, document = post(door, b"{}", **page, **lane)
            assert status == 403, (page, lane)
            assert "page of another origin" in document["detail"]
    assert road.sql("select count(*) from millrace.events") == [(0,)]
    assert post(door, b"{}", Origin=f"http://{door.address}", Sec_Fetch_Site="same-origin")[0] == 202
    assert post(door, b"{}")[0] == 202, "no browser says nothing"


def test_clients_who_send_no_body_hold_nobody_up_and_are_told(make_door: Callable[..., Door]) -> None:
    door = make_door(web_threads="4", body_deadline=str(5 * PATIENCE))
    kinds = [
        POST % (b"/v1/events/ledger.step", b"Content-Length: 2"),
        POST % (b"/v1/events/ledger.step?delay=1", b"Content-Length: 2"),
        POST % (b"/v1/events/ledger.step", b"Transfer-Encoding: chunked"),
        POST % (b"/v1/events", b"Content-Length: 1000000"),
    ]
    host, _, port = door.address.rpartition(":")
    with contextlib.ExitStack() as stack:
        silent = []
        for number in range(16):  # Half of them may be large, and of those four are read at once.
            silent.append(stack.enter_context(socket.create_connection((host, int(port)), timeout=TIMEOUT)))
            silent[-1].sendall(kinds[number % 4])
        assert door.post("ledger.step", seconds=0).status == 202
        assert door.get("/v1/types").status == 200
        told, _, _ = select.select(silent, [], [], 0)
        assert told == [], "others were answered only after a silent client had been given up"
        answers = [one.recv(4096) for one in silent]
    small = [a for number, a in enumerate(answers) if number % 4 < 2]
    large = [a for number, a in enumerate(answers) if number % 4 >= 2]
    assert all(a.startswith(b"HTTP/1.1 408 ") for a in small)
    # There is room for as many large bodies as there are threads; who finds none in time is not kept waiting.
    refused = [a for a in large if a.startswith(b"HTTP/1.1 503 ")]
    assert all(b'"stored":"no"' in a for a in refused)
    assert (len(refused), sum(a.startswith(b"HTTP/1.1 408 ") for a in large)) == (4, 4)
    assert len(door.get("/v1/events").document["events"]) == 1


def connections(door: Door) -> int:
    """How many clients are connected to it."""
    port = int(door.address.rpartition(":")[2])
    return sum(c.laddr.port == port and c.status == psutil.CONN_ESTABLISHED for c in psutil.net_connections("tcp"))


class TestManyEvents:
    """Requests with many events take turns: those that come while the ledger is slow are stored, and not refused."""

    @pytest.fixture
    @classmethod
    def door(cls, road: Road) -> Door:
        return road.web(accept_deadline=str(3 * PATIENCE))

    def test_they_wait_until_there_is_room_for_them(self, road: Road, door: Door) -> None:
        slow = "select 1 from pg_locks where not granted and waitstart < now() - interval '0.7 s'"
        with concurrent.futures.ThreadPoolExecutor(25) as clients:
            with road.locked("millrace.events"):
                first = [clients.submit(door.post_many, "ledger.step", 100) for _ in range(16)]
                # By now the door refuses what would only take another thread.
                wait(lambda: road.sql(slow), 10, "the ledger is slow")
                others = [clients.submit(door.post_many, "ledger.step", 100) for _ in range(8)]
                single = clients.submit(door.post, "ledger.step")
                wait(lambda: connections(door) == 25, 10, "all of them are at the door")
            answers = [future.result() for future in [*first, *others]]
        assert [a.status for a in answers] == [202] * 24
        accepted([single.result()])
        assert_in_time(answers)

    def test_they_are_answered_in_time_when_their_turn_does_not_come(self, road: Road, door: Door) -> None:
        with concurrent.futures.ThreadPoolExecutor(16) as clients, road.locked("millrace.events"):
            futures = [clients.submit(door.post_many, "ledger.step", 100) for _ in range(16)]
            answers: list[Answer] = [future.result() for future in futures]
        assert_in_time(answers)
        later = door.post("ledger.step").id
        assert set(road.ids()) - {later} <= refused(answers)
