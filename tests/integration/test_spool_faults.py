"""The spool when things go wrong beside it: a fork, a full disk, what is too large or not allowed, a broken answer."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from service import client as clients
from service.client import Client, NewEvent, Spool
from service.domain.access import Role
from tests.entrance import Entrance
from tests.ledgers import Ledger
from tests.patience import PATIENCE, wait
from tests.producers import Moody

TYPE = "ledger.alone"
NOBODY = "http://127.0.0.1:9"

#: A sender that is in the middle of it, and has a child that was forked then and goes on for long.
SENDER = """
import os, sys, threading, time
from service.client import Client, Spool
spool, inside = Spool(sys.argv[1]), threading.Event()
class Slow(Client):
    def batch(self, events):
        inside.set()
        time.sleep(600)
threading.Thread(target=spool.drain, args=(Slow("http://127.0.0.1:9"),), daemon=True).start()
inside.wait()
child = os.fork()
if child:
    print(child, flush=True)
time.sleep(600)
"""

#: A producer whose disk has an end: files may not grow any more.
FULL = """
import resource, sys
from service.client import Client, Item, Spool, SpoolBroken
class Taker(Client):
    def batch(self, events):
        return [Item(event, id="1") for event in events]
spool, kept, told = Spool(sys.argv[1]), 0, []
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (256 * 1024, hard))
while not told:
    try:
        spool.put("ledger.alone", {"number": kept, "text": "x" * 4_000})
        kept += 1
    except SpoolBroken as error:
        told.append(str(error))
assert len(spool) == kept, "what was refused is not there, and all else is"
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
spool.put("ledger.alone", {"number": kept})
print(kept, *spool.drain(Taker("http://127.0.0.1:9")), *told)
"""


@pytest.fixture
def spool(tmp_path: pathlib.Path) -> Iterator[Spool]:
    found = Spool(tmp_path / "spool")
    yield found
    found.close()


class Taker(Client):
    """A client whose Millrace takes everything."""

    def batch(self, events: Any) -> list[clients.Item]:
        return [clients.Item(event, id="1") for event in events]


def test_a_child_that_is_forked_while_it_sends_does_not_keep_others_from_sending(spool: Spool) -> None:
    class Forking(Taker):
        child = 0

        def batch(self, events: Any) -> list[clients.Item]:
            self.child = os.fork()
            if self.child == 0:
                with contextlib.suppress(BaseException):
                    os.read(end, 1)  # It lives for as long as the test.
                os._exit(0)
            return super().batch(events)

    end, life = os.pipe()
    sender = Forking(NOBODY)
    try:
        spool.put(TYPE, 1)
        assert spool.drain(sender) == (1, 0, 0)
        spool.put(TYPE, 2)
        assert spool.drain(Taker(NOBODY)) == (1, 0, 0)
    finally:
        os.close(life)
        os.close(end)
        os.kill(sender.child, signal.SIGKILL)
        os.waitpid(sender.child, 0)


def test_a_sender_that_is_killed_leaves_its_lock_though_a_child_of_it_goes_on(spool: Spool) -> None:
    spool.put(TYPE, 1)
    sender = subprocess.Popen([sys.executable, "-c", SENDER, spool._folder], stdout=subprocess.PIPE, text=True)
    assert sender.stdout is not None
    child = int(sender.stdout.readline())
    try:
        assert spool.drain(Taker(NOBODY)) == (0, 0, 1)  # Somebody sends.
        sender.kill()
        sender.wait()
        assert spool.drain(Taker(NOBODY)) == (1, 0, 0)
    finally:
        os.kill(child, signal.SIGKILL)
        sender.kill()
        sender.communicate()


def test_a_disk_that_is_full_is_told_and_nothing_that_was_kept_is_lost(tmp_path: pathlib.Path) -> None:
    words = [sys.executable, "-c", FULL, str(tmp_path / "spool")]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60 * PATIENCE)
    assert done.returncode == 0, done.stderr
    kept, sent, refused, left, *told = done.stdout.split()
    assert int(kept) > 5
    assert (int(sent), refused, left) == (int(kept) + 1, "0", "0")
    assert str(tmp_path / "spool") in told[0]


@pytest.mark.postgres
def test_a_type_that_the_key_may_not_post_is_put_aside_and_a_key_that_is_revoked_keeps_all(
    database: str, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.client.calls.PART", (2, 1_000_000))
    ledger = Ledger(database)
    for name in (TYPE, "ledger.other"):
        ledger.handler(name, print)
    door = Entrance(ledger)
    key = door.key("till", Role.PRODUCER, types=(TYPE,))
    with Client("http://here", key=key, transport=httpx.WSGITransport(door.app)) as sender:
        types = (TYPE, "ledger.other", "ledger.other", "ledger.other", TYPE)
        items = sender.batch(NewEvent(name, {}) for name in types)
        assert [item.id is not None for item in items] == [True, False, False, False, True]
        for name in types:
            spool.put(name, {})
        assert spool.drain(sender) == (2, 3, 0)
        assert {problem["status"] for _, problem in spool.refused()} == {403}
        door.as_(Role.ADMIN, "DELETE", f"/v1/keys/{door.id('till')}")
        assert spool.retry_refused() == 3
        with pytest.raises(clients.NotAllowed):
            spool.drain(sender)
    assert (len(spool), spool.refused()) == (3, [])


@pytest.mark.parametrize("fault", ["garbled", "locked", "unforeseen"])
def test_the_thread_goes_on_whatever_goes_wrong(
    spool: Spool, fault: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("service.client.spool.BACKOFF", (0.01, 0.02))
    lock = spool._folder / "sending.lock"
    mended = threading.Event()

    class Faulty(Client):
        def batch(self, events: Any) -> list[clients.Item]:
            if mended.is_set():
                return [clients.Item(event, id="1") for event in events]
            if fault == "unforeseen":
                raise RuntimeError("nobody thought of this")
            return super().batch(events)

    def told() -> list[str]:
        return [record.message for record in caplog.records if record.__dict__.get("action") == "spool.waiting"]

    if fault == "locked":
        lock.mkdir()  # Whatever keeps it from being opened.
    spool.put(TYPE, 1)
    with Faulty(NOBODY, transport=Moody(*["garbled"] * 10_000), deadline=0.05) as sender, spool.sending(sender):
        wait(lambda: len(told()) > 1, 20, "it is told more than once")
        if fault == "locked":
            lock.rmdir()
        mended.set()
        wait(lambda: len(spool) == 0, 20, "it is sent")
    assert all(str(spool._folder) in line for line in told())
