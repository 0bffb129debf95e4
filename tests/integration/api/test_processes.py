"""The API over a real server, with real processes."""

from __future__ import annotations

import concurrent.futures
import http.client
import json
import pathlib
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.door import TIMEOUT, Door
from tests.integration.api.doors import CLIENTS
from tests.patience import wait
from tests.road import Road

pytestmark = pytest.mark.postgres

AWAY = "amqp://guest:guest@127.0.0.1:1//"  #: a broker that nobody has started


@pytest.fixture
def make_road(tmp_path: pathlib.Path) -> Iterator[Callable[[str], Road]]:
    """Makes a road without a broker, for a door."""
    made: list[Road] = []

    def make(database: str) -> Road:
        made.append(Road(database, AWAY, tmp_path, log_format="json", log_level="info"))
        return made[-1]

    yield make
    for road in made:
        road.stop()


def ask(door: Door, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, dict[str, Any]]:
    """A request as any client may send it: a body of unknown length is chunked."""
    connection = http.client.HTTPConnection(door.address, timeout=TIMEOUT)
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        connection.request(method, path, body, {"Content-Type": "application/json"} | given)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def ask_until_taken(door: Door, type_name: str, body: str, **headers: str) -> dict[str, Any]:
    """A post as a patient client sends it: again, with its key, while the door is too busy."""
    found: dict[str, Any] = {}

    def taken() -> bool:
        status, document = ask(door, "POST", f"/v1/events/{type_name}", body, **headers)
        assert status in (202, 503)
        found.update(document)
        return status == 202

    wait(taken, 20, "the post is taken", step=0.5)
    return found


def test_two_processes_take_fifty_twins_and_chunked_bodies(database: str, make_road: Callable[[str], Road]) -> None:
    door = make_road(database).web(web_processes="2")
    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        posts = [pool.submit(ask_until_taken, door, "ledger.step", "{}", Idempotency_Key="t") for _ in range(50)]
    assert len({post.result()["id"] for post in posts}) == 1

    chunks = [b'{"seco', b'nds": 0', b".5}"]
    status, document = ask(door, "POST", "/v1/events/ledger.step", iter(chunks))
    assert status == 202
    assert ask(door, "GET", document["links"]["self"])[1]["payload"] == {"seconds": 0.5}
    status, document = ask(door, "POST", "/v1/events/ledger.step", iter([*chunks, *[b" " * 65_536] * 5]))
    assert (status, document["status"]) == (413, 413)


def test_the_request_id_stands_in_each_log_line_of_the_request(make_road: Callable[[str], Road]) -> None:
    door = make_road("postgresql://nobody:nothing@127.0.0.1:1/nowhere").web()
    status, document = ask(door, "GET", f"/v1/events/{uuid.uuid4()}", X_Request_Id="r-of-the-client")
    assert (status, document["instance"]) == (503, "r-of-the-client")
    door.process.wait_for_text("r-of-the-client")
    written = [json.loads(line) for line in door.process.text().splitlines(keepends=True) if line.endswith("\n")]
    (line,) = [line for line in written if line["action"] == "request.unavailable"]
    assert line["request_id"] == "r-of-the-client"
