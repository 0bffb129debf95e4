"""Whoever reads is answered in time, too, by a door whose ledger is there and silent (P3)."""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.door import Answer, Door, assert_in_time
from tests.faults.proxy import DOWN, Cut, Proxy
from tests.patience import wait, within
from tests.road import Road

pytestmark = pytest.mark.postgres

AWAY = "amqp://guest:guest@127.0.0.1:9//"  #: no broker: whoever reads need not know
UNKNOWN = "01890000-0000-7000-8000-000000000000"
PATHS = [
    "/v1/events", f"/v1/events/{UNKNOWN}", "/v1/types", "/v1/schedules", "/v1/dead", "/v1/processes", "/v1/queues",
    "/console", "/console/events", "/readyz",
]  # fmt: skip
AT_ONCE = 48  #: requests, for 32 threads


@pytest.fixture(scope="module")
def line(shared_database: str) -> Iterator[Proxy]:
    """All that the door says to its ledger passes here."""
    found = Proxy(urllib.parse.urlsplit(shared_database).port or 0).start()
    yield found
    found.stop()


@pytest.fixture(scope="module")
def road(shared_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Road]:
    found = Road(shared_database, AWAY, tmp_path_factory.mktemp("door"), apps="tests.apps.open_app")
    yield found
    found.stop()


@pytest.fixture(scope="module")
def door(road: Road, line: Proxy) -> Door:
    return road.web(database_url=line.instead_of(road.database))


def ask(door: Door, paths: list[str]) -> list[Answer]:
    """All of these at once."""
    with ThreadPoolExecutor(len(paths)) as pool:
        return list(pool.map(door.get, paths))


@pytest.mark.fault(20)
def test_all_are_told_within_the_deadline_and_threads_are_left(door: Door, line: Proxy) -> None:
    found = {path: door.get(path).status for path in PATHS}
    assert set(found.values()) == {200, 404}, found
    assert [path for path, status in found.items() if status == 404] == [f"/v1/events/{UNKNOWN}"]
    with line.weather_of(lost=True), ThreadPoolExecutor(1) as pool:
        asking = pool.submit(ask, door, (PATHS * 5)[:AT_ONCE])
        answers = [*asking.result(), *ask(door, PATHS)]  # With connections that were there, and with new ones.
        with within(2.0):
            assert door.get("/healthz").status == 200
    for answer in answers:
        assert answer.status == 503, answer
        kind = answer.headers["content-type"].partition(";")[0]
        assert kind in ("application/problem+json", "text/html"), "an error, for programs or for people"
        assert int(answer.headers["retry-after"]) > 0
    assert_in_time(answers)
    for path in PATHS:
        wait(lambda path=path: door.get(path).status == found[path], 10, f"{path} is there again")


@pytest.mark.fault(20)
def test_one_silent_connection_costs_one_answer(door: Door, line: Proxy) -> None:
    """The others are well, and whoever comes next gets a new one."""
    assert door.get("/v1/events").status == 200
    cuts = line.cuts
    line.cut(Cut(DOWN, words=b"SELECT", silent=True))
    answer = door.get(f"/v1/events/{UNKNOWN}")
    assert line.cuts == cuts + 1
    assert answer.status == 503
    assert_in_time([answer])
    with within(2.0):
        assert door.get(f"/v1/events/{UNKNOWN}").status == 404
