"""The spool: what it was given is never lost and never doubled, whoever is killed, and it has an end."""

from __future__ import annotations

import json
import multiprocessing
import os
import pathlib
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from service import client as clients
from service.client import Client, Spool
from service.local.postgres import PostgresServer
from tests.patience import PATIENCE, wait
from tests.producers import Moody, Shop, shop

TYPE = "ledger.alone"

PRODUCER = """
import sys
from service.client import Spool
spool = Spool(sys.argv[1])
for number in range(int(sys.argv[2]), 1_000_000):
    key = spool.put("ledger.alone", {"number": number})
    print(number, flush=True)  # Somebody was told that it is safe.
"""

SENDER = """
import sys
from service.client import Client, Spool
spool = Spool(sys.argv[1])
with Client(sys.argv[2], timeout=30, deadline=60) as client:
    print("begins", flush=True)
    spool.drain(client)
"""

#: It is killed when its events are stored, and before it can note that.
STOPPED = """
import sys
import time
from service.client import Client, Spool
class Stopped(Client):
    def batch(self, events):
        found = super().batch(events)
        print("stored", flush=True)
        time.sleep(600)
        return found
with Stopped(sys.argv[2], timeout=60, deadline=60) as client:
    Spool(sys.argv[1]).drain(client)
"""


@pytest.fixture(scope="module")
def here(postgres: PostgresServer, ledger_template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with shop(postgres, ledger_template, "spools", tmp_path_factory.mktemp("spools")) as found:
        yield found


@pytest.fixture
def spool(tmp_path: pathlib.Path) -> Iterator[Spool]:
    found = Spool(tmp_path / "spool")
    yield found
    found.close()


def client(here: Shop, **options: Any) -> Client:
    return Client(here.url, **{"timeout": 20.0 * PATIENCE, "deadline": 30.0 * PATIENCE} | options)


def start(program: str, *words: object) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", program, *map(str, words)], stdout=subprocess.PIPE, text=True)


def numbers(here: Shop) -> list[int]:
    """The numbers of all stored events, in no order."""
    return [n for (n,) in here.road.sql("select (payload->>'number')::int from millrace.events")]


@pytest.fixture(autouse=True)
def empty(request: pytest.FixtureRequest) -> None:
    if "here" in request.fixturenames:
        found: Shop = request.getfixturevalue("here")
        found.road.sql("truncate millrace.events, millrace.tickets, millrace.idempotency_keys")


@pytest.mark.postgres
def test_what_was_put_is_sent_once_in_its_order(here: Shop, spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.client.calls.PART", (50, 1_000_000))
    for number in range(120):
        spool.put(TYPE, {"number": number}, delay=3600.0)
    way = Moody("lost", 503)
    with client(here, transport=way) as sender:
        assert spool.drain(sender) == (120, 0, 0)
    assert len(way.requests) == 5
    lines = [json.loads(line) for sent in way.requests[2:] for line in sent.content.splitlines()]
    assert [line["payload"]["number"] for line in lines] == list(range(120))
    assert sorted(numbers(here)) == list(range(120))
    [earliest] = here.road.sql("select min(run_at) > now() + interval '50 minutes' from millrace.events")
    assert earliest == (True,)


@pytest.mark.postgres
def test_nothing_that_was_told_to_be_safe_is_lost_when_the_producer_is_killed(
    here: Shop, tmp_path: pathlib.Path
) -> None:
    told: list[int] = []
    for _ in range(3):
        producer = start(PRODUCER, tmp_path / "spool", len(told) and told[-1] + 1)
        assert producer.stdout is not None
        told += [int(producer.stdout.readline()) for _ in range(40)]
        os.kill(producer.pid, signal.SIGKILL)
        told += [int(line) for line in producer.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
        producer.wait()
    with client(here) as sender:
        Spool(tmp_path / "spool").drain(sender)
    found = numbers(here)
    assert set(told) <= set(found)
    assert len(found) <= len(told) + 3  # Each time there may be one more, of which nobody was told.


@pytest.mark.postgres
def test_a_sender_that_is_killed_doubles_nothing(here: Shop, tmp_path: pathlib.Path) -> None:
    spool = Spool(tmp_path / "spool")
    for number in range(1_300):
        spool.put(TYPE, {"number": number})
    sender = start(STOPPED, tmp_path / "spool", here.url)
    assert sender.stdout is not None
    assert sender.stdout.readline() == "stored\n"
    os.kill(sender.pid, signal.SIGKILL)
    sender.communicate()
    assert numbers(here)
    assert len(spool) == 1_300
    with client(here) as other:
        spool.drain(other)
    assert sorted(numbers(here)) == list(range(1_300))


@pytest.mark.postgres
def test_a_thread_sends_whatever_comes_and_waits_for_a_server_that_is_away(here: Shop, spool: Spool) -> None:
    way = Moody("away", "away", "lost", 503)
    with client(here, transport=way, deadline=0.2) as sender, spool.sending(sender):
        keys = [spool.put(TYPE, {"number": number}) for number in range(3)]
        wait(lambda: len(numbers(here)) == 3, 30, "they are stored")
        spool.put(TYPE, {"number": 3}, key="my own")
        wait(lambda: len(spool) == 0, 30, "the spool is empty")
    assert sorted(numbers(here)) == [0, 1, 2, 3]
    assert len(set(keys)) == 3
    with client(here) as other:  # It knows the key that was given.
        assert other.submit(TYPE, {"number": 3}, key="my own").id in here.stored(number=3)


@pytest.mark.postgres
def test_what_is_refused_is_put_aside_and_holds_nobody_up(here: Shop, spool: Spool) -> None:
    spool.put(TYPE, {"number": "seven"})
    spool.put("no.such", {})
    spool.put(TYPE, {"number": 8})
    with client(here) as sender:
        assert spool.drain(sender) == (1, 2, 0)
        (first, why), (second, _) = spool.refused()
        assert (first.payload, why["type"], second.type) == ({"number": "seven"}, "/problems/invalid-event", "no.such")
        assert spool.retry_refused() == 2
        assert spool.drain(sender) == (0, 2, 0)
    spool.forget_refused()
    assert (spool.refused(), numbers(here)) == ([], [8])


@pytest.mark.postgres
def test_what_is_larger_than_a_request_may_be_is_put_aside(here: Shop, spool: Spool) -> None:
    for payload in ({"number": 1}, {"number": 2, "text": "x" * 9_000_000}, {"number": 3}):
        spool.put(TYPE, payload)
    with client(here) as sender:
        assert spool.drain(sender) == (2, 1, 0)
    [(event, problem)] = spool.refused()
    assert (event.payload["number"], problem["status"]) == (2, 413)


@pytest.mark.postgres
def test_what_is_too_large_for_a_proxy_is_put_aside_and_the_rest_is_sent(here: Shop, spool: Spool) -> None:
    for number in range(10, 40):
        spool.put(TYPE, {"number": number, "text": "x" * (4_000 if number == 20 else 100)})
    with client(here, transport=Moody(room=3_000)) as sender:
        assert spool.drain(sender) == (29, 1, 0)
    [(event, problem)] = spool.refused()
    assert (event.payload["number"], problem) == (20, {"status": 413, "detail": "the answer was 413"})


def test_a_key_that_is_refused_keeps_everything(spool: Spool) -> None:
    spool.put(TYPE, {"number": 1})
    with Client("http://127.0.0.1:9", transport=Moody(401, 404)) as sender:
        with pytest.raises(clients.NotAllowed):
            spool.drain(sender)
        with pytest.raises(clients.NotFound):  # Told by a proxy: Millrace's own problems have a type.
            spool.drain(sender)
    assert (len(spool), spool.refused()) == (1, [])


def test_it_has_an_end_and_room_again_when_events_have_gone(tmp_path: pathlib.Path) -> None:
    spool = Spool(tmp_path / "spool", limit=1_000)
    held = 3
    for _ in range(held):
        spool.put(TYPE, {"text": "x" * 100})
    with pytest.raises(clients.SpoolFull):
        spool.put(TYPE, {"text": "x" * 100})
    assert len(spool) == held

    class Taker(Client):
        def batch(self, events: Any) -> list[clients.Item]:
            return [clients.Item(event, id="1") for event in events]

    assert spool.drain(Taker("http://127.0.0.1:9")) == (held, 0, 0)
    assert spool.put(TYPE, {"text": "x" * 100})
    with pytest.raises(ValueError, match="JSON"):
        spool.put(TYPE, float("nan"))
    (tmp_path / "file").touch()
    with pytest.raises(clients.SpoolBroken):
        Spool(tmp_path / "file" / "in it")


def test_processes_put_side_by_side_and_one_of_them_sends(tmp_path: pathlib.Path) -> None:
    spool = Spool(tmp_path / "spool")
    spool.put(TYPE, {"number": -1})
    context = multiprocessing.get_context("fork")  # The children inherit a spool that is open.
    children = [context.Process(target=_put, args=(spool, n * 100)) for n in range(3)]
    for child in children:
        child.start()
    _put(spool, 1_000)
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0, 0, 0]
    assert len(spool) == 81

    seen: list[int] = []
    inside, go = threading.Event(), threading.Event()

    class Slow(Client):
        def batch(self, events: Any) -> list[clients.Item]:
            inside.set()
            go.wait(30 * PATIENCE)
            seen.extend(event.payload["number"] for event in events)
            return [clients.Item(event, id="1") for event in events]

    sender = Slow("http://127.0.0.1:9")
    thread = threading.Thread(target=spool.drain, args=(sender,))
    thread.start()
    inside.wait(30 * PATIENCE)
    other = subprocess.run(
        [sys.executable, "-c", SENDER, str(tmp_path / "spool"), "http://127.0.0.1:9"],
        check=False,
        capture_output=True,
        text=True,
    )
    go.set()
    thread.join()
    assert (other.returncode, other.stderr) == (0, "")  # It saw that somebody sends already.
    for first in (0, 100, 200, 1_000):
        assert [n for n in seen if first <= n < first + 20] == list(range(first, first + 20))
    assert (len(seen), len(spool), seen[0]) == (81, 0, -1)


def _put(spool: Spool, first: int) -> None:
    for number in range(first, first + 20):
        spool.put(TYPE, {"number": number})


def test_a_folder_that_it_makes_is_its_owners_alone(tmp_path: pathlib.Path) -> None:
    Spool(tmp_path / "made").close()
    assert (tmp_path / "made").stat().st_mode & 0o777 == 0o700
    (tmp_path / "shared").mkdir(mode=0o770)
    (tmp_path / "shared").chmod(0o770)
    Spool(tmp_path / "shared").close()
    assert (tmp_path / "shared").stat().st_mode & 0o777 == 0o770
