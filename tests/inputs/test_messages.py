"""Messages that a worker should not trust: kept, never obeyed, and no worker is the worse for them (P4, P6).

Groups 51 to 64 of the catalogue, from a raw publisher to a real worker and a real clock.

Whoever reaches the broker can write any message. Most of these wear the envelope of a ticket, for without it they get
nowhere near Celery.
"""

from __future__ import annotations

import contextlib
import dataclasses
import decimal
import json
import pickle
import struct
import sys
import uuid
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import amqp
import pytest

from service.broker import message as envelope
from service.domain import topology
from service.domain.ticket import VERSION, Ticket
from tests.patience import wait
from tests.road import Process, Road

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq]


def a_ticket(**fields: Any) -> Ticket:
    """A ticket that looks right and names nothing that there is."""
    exchange, key = topology.event_route("ledger.step", topology.EVENTS_QUEUE)
    usual = {"type": "ledger.step", "exchange": exchange, "routing_key": key, "queue": topology.EVENTS_QUEUE}
    return Ticket(**{"id": str(uuid.uuid4()), "event_ids": (str(uuid.uuid4()),), "at": 1.0} | usual | fields)


def a_body(ticket: Ticket, embed: dict[str, Any] | None = None, **fields: Any) -> str:
    """Its message's body, with other fields."""
    return json.dumps([[ticket.body() | fields], {}, envelope.EMBED | (embed or {})])


@dataclasses.dataclass(frozen=True)
class Stray:
    """A message that is not ours: a perfect envelope, but for what is named here."""

    group: int
    body: str | bytes = '[["no ticket"], {}, {}]'
    headers: dict[str, Any] = dataclasses.field(default_factory=dict)
    properties: dict[str, Any] = dataclasses.field(default_factory=dict)
    exchange: str = topology.EVENTS


CALL = {"task": "ledger.step", "args": [a_ticket().body()], "kwargs": {}, "options": {}, "subtask_type": None}
NEARLY = a_body(a_ticket(id="z" * 36))  #: all is right but the ticket's id, which is that of no ticket
DEEP = "[" * 900 + "]" * 900  #: Python's json can read it, but not everything that Celery does with it goes so deep

STRAYS = {
    "no JSON": Stray(52, b"\xff\xfe{"),
    "nothing": Stray(62, ""),
    "a number": Stray(51, "5"),
    "an object": Stray(51, '{"a": 1}'),
    "a body of version 1": Stray(56, json.dumps({"task": "ledger.step", "id": "1", "args": [1], "kwargs": {}})),
    "two parts": Stray(58, "[[1], {}]"),
    "arguments that are no list": Stray(58, "[5, {}, {}]"),
    "no argument": Stray(58, "[[], {}, {}]"),
    "too many arguments": Stray(58, "[[1, 2], {}, {}]"),
    "a named argument": Stray(58, '[[1], {"a": 1}, {}]'),
    "named arguments that are no object": Stray(58, "[[1], [], {}]"),
    "an embed that is no object": Stray(58, "[[1], {}, [1]]"),
    "no ticket": Stray(58),
    "ids that are none": Stray(64, a_body(a_ticket(id="z" * 36, event_ids=("z" * 36,)))),
    "an id with a NUL": Stray(64, a_body(a_ticket(id="a\0b"))),
    "callbacks": Stray(60, json.dumps([[1], {}, {"callbacks": [CALL]}])),
    "a chord": Stray(60, json.dumps([[1], {}, {"chord": CALL}])),
    "huge nesting": Stray(51, "[" * 100_000),
    "nesting in an argument": Stray(58, f"[[{DEEP}], {{}}, {{}}]"),
    "nesting in a ticket": Stray(58, a_body(a_ticket(), more="@").replace('"@"', DEEP)),
    "a number too long": Stray(51, f"[[{'9' * 5000}], {{}}, {{}}]"),
    "an unknown task": Stray(57, headers={"task": "no.such.task"}),
    "a task of Celery": Stray(57, json.dumps([[CALL, [[1]]], {}, {}]), {"task": "celery.map"}),
    "no task": Stray(57, headers={"task": None}),
    "an instant to wait for": Stray(59, headers={"eta": "2030-01-01T00:00:00Z"}),
    "an expiry": Stray(59, headers={"expires": "2020-01-01T00:00:00Z"}),
    "an unknown compression": Stray(55, headers={"compression": "none.such"}),
    "a compressed body": Stray(55, zlib.compress(a_body(a_ticket()).encode()), {"compression": "application/x-gzip"}),
    "a pickle": Stray(
        53,
        pickle.dumps([[1], {}, {}]),
        properties={"content_type": "application/x-python-serialize", "content_encoding": "binary"},
    ),
    "yaml": Stray(53, "[[1], {}, {}]", properties={"content_type": "application/x-yaml"}),
    "another encoding": Stray(55, "[[1], {}, {}]".encode("utf-16"), properties={"content_encoding": "utf-16"}),
    "a letter nobody sent back": Stray(64, a_body(a_ticket(id="nonsense"), v=VERSION + 1), exchange=topology.DEAD),
    "broken JSON": Stray(51, "[[1], {}, {}"),
    "JSON twice": Stray(51, a_body(a_ticket()) * 2),
    "msgpack": Stray(53, b"\x93\x91\x01\x80\x80", properties={"content_type": "application/x-msgpack"}),
    "text": Stray(54, NEARLY, properties={"content_type": "text/plain"}),
    "no content type": Stray(54, NEARLY, properties={"content_type": ""}),
    "an encoding that nobody knows": Stray(55, NEARLY, properties={"content_encoding": "martian"}),
    "another task of Celery": Stray(57, "[[], {}, {}]", {"task": "celery.backend_cleanup"}),
    "a retry without end": Stray(59, headers={"retries": 10**9}),
    "a time limit of words": Stray(59, headers={"timelimit": ["x", -1]}),
    "a wait until the year 9999": Stray(59, headers={"eta": "9999-12-31T23:59:59"}),
    "an expiry that is none": Stray(59, headers={"expires": "garbage"}),
    "a chain": Stray(60, json.dumps([[1], {}, {"chain": [CALL]}])),
    "headers of 90 KiB": Stray(61, headers={f"h{n}": "x" * 900 for n in range(100)}),
    "headers of many kinds": Stray(
        61,
        headers={
            "void": None,
            "decimal": decimal.Decimal("1.5"),
            "list": [1, [True]],
            "table": {"a": {"b": -1}},
            "bytes": b"\xff\x00",
            "long": 2**62,
        },
    ),
    "10 MiB": Stray(62, "[" + " " * 10_000_000 + "1]"),
    "a message in a hurry": Stray(63, properties={"delivery_mode": 1, "priority": 255, "expiration": "600000"}),
    "an answer to another": Stray(63, properties={"reply_to": "events", "correlation_id": "x" * 255}),
    "an instant in milliseconds": Stray(63, properties={"timestamp": 1_767_225_600_000}),
    "a name that is not UTF-8": Stray(61, headers={b"caf\xe9": 1, "table": {b"\xff": [{b"\xfe": None}]}}),
    "a death with a NUL": Stray(61, headers={"x-death": [{"queue": "a\0b", "reason": "r\0"}]}, exchange=topology.DEAD),
    "a death of a stranger": Stray(
        61, headers={"x-death": [{"queue": "q" * 5000, "reason": "for fun"}]}, exchange=topology.DEAD
    ),
    "a version that is to come": Stray(64, a_body(a_ticket(id="z" * 36), v=99)),
}


@pytest.fixture(scope="class")
def road(standing_road: Road) -> Road:
    """With a clock."""
    standing_road.clock()
    return standing_road


@pytest.fixture(scope="class")
def worker(road: Road) -> Process:
    """With one child, which works tickets in their order."""
    return road.worker(concurrency=1)


@pytest.mark.fault(30)
class TestStrays:
    """All are sent at once, to one worker with one child."""

    @pytest.fixture(scope="class")
    @classmethod
    def filed(cls, road: Road, worker: Process) -> dict[str, tuple[bytes, dict[str, Any], str]]:
        """What was filed of each: body, headers, queue."""
        for name, stray in STRAYS.items():
            send(road, stray, name)
        with contextlib.suppress(AssertionError):  # Each test tells of its own.
            wait(lambda: road.one("select count(*) from millrace.strays") >= len(STRAYS), 15, "all are filed")
        rows = road.sql("select properties->>'message_id', body, headers, queue from millrace.strays")
        return {name: (bytes(body), headers, queue) for name, body, headers, queue in rows}

    @pytest.mark.parametrize("name", STRAYS)
    def test_it_is_filed_as_it_came(self, filed: dict[str, tuple[bytes, dict[str, Any], str]], name: str) -> None:
        sent = STRAYS[name]
        assert name in filed, "it is lost, or still on its way"
        body, headers, queue = filed[name]
        assert body == _bytes(sent.body)
        assert {k: v for k, v in headers.items() if k in kept(sent.headers)} == kept(sent.headers)
        assert queue == ("events" if sent.exchange == topology.EVENTS else "unknown")

    def test_headers_of_huge_nesting_are_refused_too(self, road: Road, worker: Process) -> None:
        nested: dict[str, Any] = {}
        for _ in range(1500):
            nested = {"d": nested}
        with recursion(20_000):
            send(road, Stray(61, "deep headers", headers={"x": nested}), "deep headers")
        assert_filed(road, worker, "deep headers")

    @pytest.mark.parametrize("seconds", [2**55, 2**56, 1_767_225_600 * 10**9, 2**63, 2**64 - 1])
    def test_an_instant_in_a_header_that_no_calendar_has_is_refused_too(
        self, road: Road, worker: Process, seconds: int
    ) -> None:
        body = f"an instant {seconds}"
        road.channel(lambda channel: publish(channel, WithInstant(seconds, body), "event.foreign"))
        assert_filed(road, worker, body)

    def test_a_routing_key_that_is_not_utf_8_is_refused_too(self, road: Road, worker: Process) -> None:
        key = b"event.caf\xe9"
        road.channel(lambda channel: publish(channel, amqp.Message("another key"), key))
        assert_filed(road, worker, "another key")

    def test_none_was_worked_and_the_worker_goes_on(self, road: Road, worker: Process, filed: object) -> None:
        (ticket,) = road.store("ledger.step", ["{}"])
        road.publish(ticket)
        road.assert_worked_once(ticket.event_ids)
        assert road.one("select count(*) from effects") == 1
        assert worker.code is None


#: Group 64: tickets that are forged, or come again.
FORGERIES: dict[str, Callable[[Ticket], Ticket]] = {
    "unknown events": lambda real: dataclasses.replace(real, event_ids=a_ticket().event_ids),
    "half of its events": lambda real: dataclasses.replace(real, event_ids=real.event_ids[:2]),
    "its events and another": lambda real: dataclasses.replace(real, event_ids=real.event_ids + a_ticket().event_ids),
    "one event twice": lambda real: dataclasses.replace(real, event_ids=real.event_ids[:1] * 2),
    "another id": lambda real: dataclasses.replace(real, id=a_ticket().id),
    "another type": lambda real: dataclasses.replace(real, type="ledger.alone"),
}


@pytest.mark.fault(30)
class TestForgedTickets:
    """A forged ticket may have open events worked; it takes none out of the ledger's hands."""

    @pytest.fixture(scope="class")
    @classmethod
    def road(cls, standing_road: Road) -> Road:
        standing_road.worker(concurrency=1)  # One child works tickets in their order.
        return standing_road

    @pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES)
    def test_one_that_abuses_a_real_ticket_loses_and_doubles_nothing(
        self, road: Road, forge: Callable[[Ticket], Ticket]
    ) -> None:
        (real,), (after,) = road.store("ledger.step", ["{}"] * 4), road.store("ledger.alone", ["{}"])
        road.publish(forge(real), after)
        road.wait_until_closed(after.event_ids)
        road.assert_books()

        road.publish(real)
        road.assert_worked_once(real.event_ids)

    def test_one_that_names_nothing_changes_nothing(self, road: Road) -> None:
        road.store("ledger.step", ["{}"] * 4)
        before = rows(road, "ledger.step")
        (after,) = road.store("ledger.alone", ["{}"])
        road.publish(a_ticket(), after)
        road.wait_until_closed(after.event_ids)
        assert rows(road, "ledger.step") == before


#: Groups 57, 59, 60 and 64: from a real ticket, and another, to body and headers of a message that names the first.
TWISTS: dict[str, Callable[[Ticket, Ticket], tuple[str, dict[str, Any]]]] = {
    "a newer version": lambda real, other: (a_body(real, v=VERSION + 1), {}),
    "callbacks": lambda real, other: (a_body(real, {"callbacks": [CALL | {"args": [other.body()]}]}), {}),
    "errbacks": lambda real, other: (a_body(real, {"errbacks": [CALL | {"args": [other.body()]}]}), {}),
    "an instant to wait for": lambda real, other: (a_body(real), {"eta": "2030-01-01T00:00:00Z"}),
    "an expiry": lambda real, other: (a_body(real), {"expires": "2020-01-01T00:00:00Z"}),
    "a time limit": lambda real, other: (a_body(real), {"timelimit": [0.001, 0.001]}),
    "a time limit that is none": lambda real, other: (a_body(real), {"timelimit": 5}),
    "stamps": lambda real, other: (a_body(real), {"stamped_headers": 5}),
    "callbacks in the headers": lambda real, other: (a_body(real), {"callbacks": [CALL], "errbacks": [CALL]}),
    "a header named like a method": lambda real, other: (a_body(real), {"update": 1, "execute": 1}),
    "another task": lambda real, other: (a_body(real), {"task": "ledger.alone"}),
    "a task of Celery": lambda real, other: (a_body(real), {"task": "celery.map"}),
}


@pytest.mark.fault(42)
class TestRefusedTickets:
    """A worker refuses a ticket; it comes back to the ledger, and is worked when it is published as it should be."""

    @pytest.fixture(scope="class")
    @classmethod
    def other(cls, road: Road) -> Ticket:
        """A ticket that nobody publishes: only a callback would have it worked."""
        return road.store("ledger.step", ["{}"])[0]

    @pytest.fixture(scope="class")
    @classmethod
    def refused(cls, road: Road, worker: Process, other: Ticket) -> dict[str, Ticket]:
        """All are sent at once, and held back when they have come back."""
        sent = {name: road.store("ledger.step", ["{}", "{}"])[0] for name in TWISTS}
        sent["an unknown type"] = road.store("later.step", ["{}"])[0]
        road.pause("ledger.step", "later.step")
        road.publish(sent["an unknown type"])
        for name, twisted in TWISTS.items():
            body, headers = twisted(sent[name], other)
            road.send(body, topology.EVENTS, envelope.headers(sent[name]) | headers, **envelope.properties(sent[name]))
        return sent

    @pytest.mark.parametrize("name", ["an unknown type", *TWISTS])
    def test_it_comes_back_and_waits(self, road: Road, refused: dict[str, Ticket], name: str) -> None:
        ids = refused[name].event_ids
        wait(lambda: road.tickets(ids)[0]["returns"] == 1, 10, "the ticket comes back")
        assert road.states(ids) == {"pending": len(ids)}
        assert not road.effects(ids)

    def test_each_is_worked_once_when_a_worker_comes_that_knows_it(
        self, road: Road, worker: Process, refused: dict[str, Ticket], other: Ticket
    ) -> None:
        worker.stop()
        road.go_on()
        road.worker(apps="tests.apps.ledger_app,tests.apps.later_app")
        road.assert_worked_once(i for ticket in refused.values() for i in ticket.event_ids)
        assert road.states(other.event_ids) == {"pending": 1}
        assert road.one("select count(*) from millrace.strays") == 0


def rows(road: Road, type_name: str) -> list[list[tuple[Any, ...]]]:
    """All that the ledger knows of a type."""
    tables = ("events", "tickets", "tallies", "dead")
    return [road.sql(f"select t::text from millrace.{t} t where type = %s order by 1", type_name) for t in tables]


def send(road: Road, stray: Stray, name: str) -> None:
    """Put it on the broker; ``name`` finds it again."""
    ticket = a_ticket()
    properties = envelope.properties(ticket) | {"message_id": name} | stray.properties
    road.send(_bytes(stray.body), stray.exchange, envelope.headers(ticket) | stray.headers, **properties)


class WithInstant(amqp.Message):
    """A message with a header of the kind that holds seconds since 1970, of 64 bits."""

    def __init__(self, seconds: int, body: str) -> None:
        super().__init__(body, application_headers={"at": 2**40})
        self._seconds = seconds

    def _serialize_properties(self) -> bytes:
        written: Any = super()
        number, instant = struct.pack(">cq", b"L", 2**40), struct.pack(">cQ", b"T", self._seconds)
        return bytes(written._serialize_properties()).replace(number, instant)


def publish(channel: Any, message: amqp.Message, key: Any) -> None:
    """Put it on the broker, and have it confirmed."""
    channel.confirm_select()
    channel.basic_publish_confirm(message, topology.EVENTS, key, mandatory=True)


def assert_filed(road: Road, worker: Process, body: str) -> None:
    """What has this body is filed, and the worker goes on."""
    filed = "select count(*) from millrace.strays where body = %s"
    wait(lambda: worker.code is not None or road.one(filed, body.encode()) == 1, 15, f"{body} is filed")
    assert worker.code is None


def kept(value: Any) -> Any:
    """How headers are kept: what JSON and PostgreSQL have no word for, as Python writes it."""
    if isinstance(value, dict):
        return {name if isinstance(name, str) else repr(name): kept(one) for name, one in value.items()}
    if isinstance(value, list):
        return [kept(one) for one in value]
    if isinstance(value, str):
        return value.replace("\0", "\ufffd")
    return value if value is None or isinstance(value, int) else repr(value)


def _bytes(body: str | bytes) -> bytes:
    return body if isinstance(body, bytes) else body.encode()


@contextlib.contextmanager
def recursion(limit: int) -> Iterator[None]:
    """Let this process go as deep as that."""
    usual = sys.getrecursionlimit()
    sys.setrecursionlimit(limit)
    try:
        yield
    finally:
        sys.setrecursionlimit(usual)
