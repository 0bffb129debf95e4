"""What a real web process makes of access and of keys."""

from __future__ import annotations

import contextlib
import http.client
import pathlib
from collections.abc import Iterator

import pytest

from service.client import Client, NewEvent, NotAllowed
from service.domain import credentials
from service.domain.access import Role
from tests.door import TIMEOUT
from tests.entrance import SECRET, Entrance
from tests.ledgers import Ledger
from tests.patience import PATIENCE, wait
from tests.road import Road

pytestmark = pytest.mark.postgres

AWAY = "amqp://guest:guest@127.0.0.1:1//"  #: a broker that nobody has started


def test_off_is_refused_by_a_web_that_others_can_reach(ledger: Ledger, tmp_path: pathlib.Path) -> None:
    road = Road(ledger.url, AWAY, tmp_path)
    try:
        web = road.run("web", "service", "web", http="0.0.0.0:0")
        assert web.wait_for_end(60) == 78
        assert "MILLRACE_ACCESS: access is off, and MILLRACE_HTTP=0.0.0.0:0 is not loopback" in web.text()
    finally:
        road.stop()


@pytest.fixture
def address(ledger: Ledger, tmp_path: pathlib.Path) -> Iterator[str]:
    """A web process that asks for keys; each may come five times in a second, and ten times at once."""
    road = Road(ledger.url, AWAY, tmp_path)
    yield road.web(access="on", access_secret=SECRET, rate_key="5", rate_address="1000").address
    road.stop()


def refused_by_headers(address: str, path: str, **headers: str) -> int:
    """The status of the answer to a post of 8 MB of which not one byte is sent."""
    connection = http.client.HTTPConnection(address, timeout=5 * PATIENCE)  # A body has thirty seconds to come.
    with contextlib.closing(connection):
        connection.putrequest("POST", path)
        for name, value in {"Content-Type": "application/x-ndjson", "Content-Length": "8000000", **headers}.items():
            connection.putheader(name, value)
        connection.endheaders()
        return connection.getresponse().status


def test_who_may_not_post_is_refused_before_the_body_is_read(ledger: Ledger, address: str) -> None:
    entrance = Entrance(ledger)
    bulk = entrance.key("bulk", Role.PRODUCER)
    nobody, viewer = f"Bearer {credentials.make().text}", f"Bearer {entrance.keys[Role.VIEWER]}"
    assert refused_by_headers(address, "/v1/events") == 401
    assert refused_by_headers(address, "/v1/events", Authorization=nobody) == 401
    assert refused_by_headers(address, "/v1/events", Authorization=viewer) == 403
    assert refused_by_headers(address, "/v1/nowhere") == 404
    # Who goes on sending is told all the same.
    events = [NewEvent("ledger.step", {"text": "x" * 1_000}) for _ in range(700)]
    with Client(f"http://{address}", key=credentials.make().text) as client:
        assert all(isinstance(item.problem, NotAllowed) for item in client.batch(events))
    # A good key brings as much as before.
    lines = b'{"type": "ledger.step", "payload": {}}\n' * 1_000
    key = {"Authorization": f"Bearer {bulk}", "Content-Type": "application/x-ndjson"}
    connection = http.client.HTTPConnection(address, timeout=TIMEOUT)
    with contextlib.closing(connection):
        connection.request("POST", "/v1/events", lines, key)
        answer = connection.getresponse()
        assert answer.status == 202


def test_the_express_lane_asks_for_keys_as_flask_does(ledger: Ledger, address: str) -> None:
    entrance = Entrance(ledger)
    producer = entrance.key("steps", Role.PRODUCER, ("ledger.step",))
    nobody = credentials.make().text

    def post(key: str | None, type_name: str = "ledger.step", **headers: str) -> tuple[int, dict[str, str]]:
        connection = http.client.HTTPConnection(address, timeout=TIMEOUT)
        given = {"Content-Type": "application/json"} | headers
        if key is not None:
            given["Authorization"] = f"Bearer {key}"
        with contextlib.closing(connection):
            connection.request("POST", f"/v1/events/{type_name}", b"{}", given)
            response = connection.getresponse()
            response.read()
            return response.status, {n.lower(): v for n, v in response.getheaders() if "ratelimit" not in n.lower()}

    cases = [
        (producer, "ledger.step", 202), (entrance.keys[Role.OPERATOR], "ledger.step", 202), (None, "ledger.step", 401),
        (nobody, "ledger.step", 401), (producer, "ledger.alone", 403), (entrance.keys[Role.VIEWER], "ledger.step", 403),
    ]  # fmt: skip
    for _ in range(2):  # The first time the lane knows nobody.
        for key, type_name, status in cases:
            express = post(key, type_name)
            flask = post(key, type_name, Prefer="handling=lenient")  # Keeps a request off the lane.
            assert (express[0], flask[0]) == (status, status), type_name
            assert express[1].keys() == flask[1].keys()
    assert ledger.sql("select distinct producer from millrace.events order by 1") == [("operator",), ("steps",)]
    entrance.operations.keys.revoke(entrance.id("steps"), by="test")
    wait(lambda: post(producer)[0] == 401, 11, "a revoked key is dead", step=0.5)
    found = [post(entrance.keys[Role.ADMIN])[0]]
    while found[-1] == 202 and len(found) < 200:
        found.append(post(entrance.keys[Role.ADMIN])[0])
    assert (found[0], found[-1]) == (202, 429)
