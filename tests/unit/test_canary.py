"""The canary: what is sent is followed to its end, and every end is counted."""

from __future__ import annotations

import configparser
import datetime
import http.server
import importlib
import pathlib
import ssl
import threading
import time
import urllib.parse
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from service import plugins, settings, signals
from service.domain import canary as flight
from service.domain import errors, handlers, schedules
from service.telemetry import canary
from tests.certificates import Authority

ROOT = pathlib.Path(__file__).parents[2]
EVERY = 10.0


def worker(*queues: str, alive: bool = True) -> dict[str, Any]:
    return {"queues": list(queues), "alive": alive}


class Door(canary.Canary):
    """A canary whose door is a dictionary."""

    def __init__(self, *queues: str, always: Sequence[str] = ("events",)) -> None:
        self.clock = 1000.0
        super().__init__("http://door", every=EVERY, queues=queues, always=always, now=lambda: self.clock)
        self.events: dict[str, dict[str, Any]] = {}
        self.ticks: list[dict[str, Any]] = []
        self.workers = [worker(*queues)]
        self.asked: list[str] = []
        self.open = True

    def _ask(self, method: str, path: str, body: Any = None) -> dict[str, Any] | None:
        if not self.open:
            return None
        if path == "/v1/workers":
            return {"processes": self.workers}
        if method == "POST":
            self.asked.append(path)
            name = f"e{len(self.events)}"
            self.events[name] = {"id": name, "state": "pending", "reason": "queued"}
            return self.events[name]
        if "?" in path:
            return {"events": self.ticks}
        return self.events[path.rpartition("/")[2]]


def instant(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat()


class Told:
    """What the listeners were told."""

    def __init__(self) -> None:
        self.sent: Counter[str] = Counter()
        self.ended: list[tuple[str, str | None]] = []
        self.seconds: list[float] = []

    def on_sent(self, _: Any, queue: str) -> None:
        self.sent[queue] += 1

    def on_ended(self, _: Any, queue: str, seconds: float, loss: str | None) -> None:
        self.ended.append((queue, loss))
        self.seconds.append(seconds)


@pytest.fixture
def told() -> Iterator[Told]:
    found = Told()
    with signals.canary_sent.connected_to(found.on_sent), signals.canary_ended.connected_to(found.on_ended):
        yield found


def test_one_that_arrives_is_counted_once_with_its_time(told: Told) -> None:
    door = Door("events")
    door.run_once()
    door.run_once()
    assert told.sent == {"events": 1}
    assert told.ended == []
    door.events["e0"]["state"] = "succeeded"
    door.run_once()
    door.run_once()
    assert told.ended == [("events", None)]
    assert 0 <= told.seconds[0] < 5


def test_one_goes_through_every_queue_at_each_interval(told: Told) -> None:
    door = Door("events", "reports")
    door.run_once()
    door.clock += EVERY - 0.1
    door.run_once()
    assert told.sent == {"events": 1, "reports": 1}
    door.clock += 0.2
    door.run_once()
    assert told.sent == {"events": 2, "reports": 2, "periodic": 1}


def test_one_that_is_refused_failed_or_late_is_lost_for_that_reason(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    door = Door("events")
    door.open = False
    door.run_once()
    door.open = True
    door.clock += EVERY
    door.run_once()
    door.events["e0"]["state"] = "dead"
    door.run_once()
    assert told.ended == [("events", "refused"), ("events", "failed")]
    monkeypatch.setattr(flight, "LATE", -1.0)
    door.run_once()
    assert told.ended[2:] == [("periodic", "late")]


def test_one_that_somebody_paused_is_neither_lost_nor_there(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    door = Door("events")
    door.run_once()
    door.events["e0"]["reason"] = "paused"
    door.run_once()
    monkeypatch.setattr(flight, "LATE", -1.0)
    door.run_once()
    assert told.ended == []


def test_a_queue_that_no_live_worker_takes_gets_none_unless_it_is_named(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with workers `-Q events,periodic`: handlers name the queue `http`, and nobody takes it."""
    door = Door("events", "http", "reports", always=["events", "reports"])
    door.workers = [worker("http", alive=False), worker("events", "periodic")]
    door.run_once()
    assert told.sent == {"events": 1, "reports": 1}
    door.workers.append(worker("http"))
    door.clock += EVERY
    door.run_once()
    assert told.sent == {"events": 2, "reports": 2, "http": 1, "periodic": 1}
    # Its only worker goes while one is under way: nobody says that there must be one.
    door.workers.pop()
    door.ticks.append({"state": "succeeded", "reason": None, "slot_at": instant(1010), "finished_at": instant(1010)})
    monkeypatch.setattr(flight, "LATE", -1.0)
    door.clock += EVERY
    door.run_once()
    lost = [queue for queue, loss in told.ended if loss is not None]
    assert {"events", "reports"} <= set(lost)
    assert "http" not in lost


def test_without_any_worker_the_one_that_is_always_sent_is_lost(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    door = Door("events", "http")
    door.workers = []
    door.run_once()
    monkeypatch.setattr(flight, "LATE", -1.0)
    door.run_once()
    assert told.ended == [("events", "late")]


def test_one_that_nobody_works_expires_after_it_counts_as_lost(told: Told) -> None:
    door = Door("events")
    door.run_once()
    [asked] = door.asked
    path, _, query = asked.partition("?")
    assert path == "/v1/events/millrace.canary.queue.events"
    [expires] = urllib.parse.parse_qs(query)["expires_at"]
    assert datetime.datetime.fromisoformat(expires).timestamp() == 1000.0 + flight.EXPIRES
    assert flight.EXPIRES > flight.LATE


def test_a_tick_is_found_by_its_instant_and_timed_by_the_ledger(told: Told) -> None:
    door = Door()
    door.run_once()
    door.clock += EVERY
    door.run_once()
    found = {"state": "succeeded", "reason": None, "finished_at": instant(1010.5)}
    door.ticks = [{**found, "slot_at": instant(1000)}]
    door.run_once()
    assert told.ended == []
    door.ticks.append({**found, "slot_at": instant(1010)})
    door.run_once()
    assert told.ended == [("periodic", None)]
    assert told.seconds == [pytest.approx(0.5)]


def test_a_door_that_is_not_there_is_no_error() -> None:
    found = canary.Canary("http://127.0.0.1:9", every=EVERY, queues=["events"])
    found.run_once()


def test_when_the_certificate_of_the_door_ends_is_told(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.sign("door", days=9)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    ends: list[float] = []

    def note(_: Any, until: float) -> None:
        ends.append(until)

    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        with signals.door_seen.connected_to(note):
            canary.Canary(f"https://127.0.0.1:{server.server_port}", every=EVERY, queues=["events"]).run_once()
        server.shutdown()
    assert {round((end - time.time()) / 86_400) for end in ends} == {9}


def test_it_enters_by_the_door_of_every_app_and_has_a_handler_for_each_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    assert "canary = service.canary" in config["options.entry_points"][plugins.GROUP]
    app = importlib.import_module("service.canary.queues")
    registry, calendar = handlers.Registry(), schedules.Calendar()
    registry.add(handlers.Handler("a.b", print, queue="long-reports"))
    monkeypatch.setattr(plugins, "registry", registry)
    monkeypatch.setattr(plugins, "calendar", calendar)
    app.declare(15.0)
    assert {handler.type: handler.queue for handler in registry} == {
        "a.b": "long-reports",
        "millrace.canary.queue.events": "events",
        "millrace.canary.queue.long__reports": "long-reports",
        "millrace.canary.tick": "events",
    }
    assert [(s.name, s.type, s.plan.spec(), s.policy.expires_after) for s in calendar] == [
        ("millrace.canary", "millrace.canary.tick", {"every": 15.0}, flight.EXPIRES)
    ]


@pytest.mark.parametrize(
    ("name", "wrong"), [("canary", 0.5), ("canary", -1), ("canary_url", "door:5000"), ("canary_url", "http://u:p@door")]
)
def test_a_wrong_setting_is_told_by_its_name(name: str, wrong: object) -> None:
    with pytest.raises(errors.SettingsError, match=f"MILLRACE_{name.upper()}"):
        settings.load(**{name: wrong})
