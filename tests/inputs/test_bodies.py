"""Bodies, types, times, ids, keys and batches that are bad, on the wire to a real web process: groups 2 and 27 to 50.

What exactly is told of each document is checked in ``tests/unit/test_body.py``, from the same tables.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import gzip
import json
import urllib.parse
from collections.abc import Iterator

import pytest

from tests.door import Door
from tests.inputs import wire
from tests.inputs.documents import ENCODINGS, OTHER_MEDIA, REFUSED, TAKEN
from tests.inputs.wire import JSON, Reply, post
from tests.road import Road

pytestmark = pytest.mark.postgres

LARGEST = 256 * 1024  #: bytes of a body
NO_JSON = "/problems/not-strict-json"
NO_TYPE = "/problems/unknown-event-type"
INVALID = "/problems/invalid-event"
PARAMETER = "/problems/invalid-parameter"
BLANK = "about:blank"

GOOD = {"number": 1, "name": "x", "paid": True, "lines": [1]}
NDJSON = b"Content-Type: application/x-ndjson\r\n"
MANY = b"/v1/events"


@dataclasses.dataclass(frozen=True)
class Row:
    """What is posted, and what comes back."""

    group: int
    name: str
    request: bytes
    status: int
    problem: str = ""  #: type of the problem document
    field: str | None = None  #: pointer or parameter that it names first
    stored: int | None = None  #: events, if it is another number than 1 for a 202 and 0 for all else
    half_close: bool = False  #: the client says that it will send no more


def documents() -> Iterator[Row]:
    """All that ``documents`` has."""
    for name, (group, data, pointer, _) in REFUSED.items():
        yield Row(group, name, post(data), 400, NO_JSON, pointer)
    for name, (group, data, _) in TAKEN.items():
        yield Row(group, name, post(data), 202)
    for media in OTHER_MEDIA:
        kind = b"" if media is None else f"Content-Type: {media}\r\n".encode()
        yield Row(48, str(media), post(headers=kind), 415, BLANK)
    for encoding in ENCODINGS:
        header = JSON + f"Content-Encoding: {encoding}\r\n".encode()
        yield Row(47, encoding, post(gzip.compress(b"0" * 10_000_000), headers=header), 415, BLANK)


def string(size: int) -> bytes:
    return b'"' + b"x" * (size - 2) + b'"'


def wide() -> Iterator[Row]:
    """As much as fits into a body, and more."""
    # Alike as numbers, for which CPython has no secret; texts are hashed with one that each process chooses.
    alike = {f"{n * (2**61 - 1)}": 0 for n in range(7_000)}
    yield Row(34, "15,000 keys", post(json.dumps({str(n): 0 for n in range(15_000)}).encode()), 202)
    yield Row(34, "a million items", post(b"[" + b"1," * 999_999 + b"1]"), 413, BLANK)
    yield Row(39, "one byte below the limit", post(string(LARGEST - 1)), 202)
    yield Row(39, "the limit", post(string(LARGEST)), 202)
    yield Row(39, "one byte above the limit", post(string(LARGEST + 1)), 413, BLANK)
    yield Row(46, "keys that might collide", post(json.dumps(alike).encode()), 202)


def orders() -> Iterator[Row]:
    """Payloads that do not fit the type's model: the field is named."""
    to = b"/v1/events/open.order"

    def order(name: str, payload: object, field: str) -> Row:
        return Row(42, name, post(json.dumps(payload).encode(), to=to), 422, INVALID, field)

    yield Row(42, "a good one", post(json.dumps(GOOD).encode(), to=to), 202)
    for field in GOOD:
        yield order(f"without {field}", {k: v for k, v in GOOD.items() if k != field}, f"/{field}")
        yield order(f"null for {field}", GOOD | {field: None}, f"/{field}")
        yield order(f"an object for {field}", GOOD | {field: {"a": 1}}, f"/{field}")
    yield order("a number as text", GOOD | {"number": "1"}, "/number")
    yield order("a fraction", GOOD | {"number": 1.5}, "/number")
    yield order("a bad item", GOOD | {"lines": [1, "2"]}, "/lines/1")
    yield order("a field too many", GOOD | {"a/b~": 1}, "/a~1b~0")
    for value in (None, True, 3, "x", []):
        yield dataclasses.replace(order(f"{value!r} in its place", value, ""), group=41)


def types() -> Iterator[Row]:
    """Types that nobody handles, in the path and in a line."""
    for name in (
        "no.such",
        "x" * 300,
        "../x",
        "open any",
        "open.#",
        "open.*",
        "#",
        "amq.topic",
        "celery.map",
        "OPEN.ANY",
    ):
        path = b"/v1/events/" + urllib.parse.quote(name, safe="").encode()
        # An escaped slash is one to WSGI.
        yield Row(43, f"{name[:20]} in the path", post(to=path), 404, BLANK if "/" in name else NO_TYPE)
        line = json.dumps({"type": name, "payload": 1}).encode()
        yield Row(43, f"{name[:20]} in a line", post(line, to=MANY, headers=NDJSON), 207)
    yield Row(43, "an empty one in a line", post(b'{"type": "", "payload": 1}', to=MANY, headers=NDJSON), 207)


def times() -> Iterator[Row]:
    """Instants that are none. ``tests/unit/test_door_headers.py`` has more of them."""
    for text in (
        "2096-01-31T24:00:00Z", "2096-01-31T23:59:60Z", "0000-01-01T00:00:00Z", "10000-01-01T00:00:00Z",
        "9999-01-01T00:00:00Z", "-001-01-01T00:00:00Z", "2096-01-31T08:00:00", "2027-02-29T00:00:00Z", "1767225600",
        "2096-01-31T08:00:00+24:00",
    ):  # fmt: skip
        query = b"?run_at=" + urllib.parse.quote(text).encode()
        yield Row(44, text, post(to=b"/v1/events/open.any" + query), 422, PARAMETER, "run_at")
    for text in (
        "0001-01-01T00:00:00Z",
        "9998-12-31T23:59:59Z",
        "2096-01-31T08:00:00+14:00",
        "2096-01-31T08:00:00+15:00",
    ):
        query = b"?run_at=" + urllib.parse.quote(text).encode()
        yield Row(44, text, post(to=b"/v1/events/open.any" + query), 202)


def ids() -> Iterator[Row]:
    """Ids of events that there are not."""
    for name in (
        "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-7fff-bfff-ffffffffffff",
        "01A1FE3D-54F5-7FAE-B291-4E0591D6822A",
        "x", "01a1fe3d54f57faeb2914e0591d6822a", "%7B01a1fe3d-54f5-7fae-b291-4e0591d6822a%7D",
        "1'%20or%20'1'='1", "%00",
    ):  # fmt: skip
        request = b"GET /v1/events/" + name.encode() + b" HTTP/1.1\r\nHost: door\r\nConnection: close\r\n\r\n"
        yield Row(45, name, request, 404, "/problems/event-not-found")


def keys() -> Iterator[Row]:
    """Keys that are none. ``tests/unit/test_door_headers.py`` has more of them."""
    for value in (b"", b'""', b'"', b'"' + b"x" * 256 + b'"', "ä".encode(), b'"a" "b"'):
        header = JSON + b"Idempotency-Key: " + value + b"\r\n"
        yield Row(49, f"{value[:9]!r}", post(headers=header), 400, "/problems/invalid-header")


def line(payload: object = 1, **more: object) -> bytes:
    return json.dumps({"type": "open.any", "payload": payload} | more).encode() + b"\n"


def batches() -> Iterator[Row]:
    """Many events at once."""

    def batch(name: str, lines: bytes, status: int, problem: str = "", *, stored: int, query: bytes = b"") -> Row:
        return Row(50, name, post(lines, to=MANY + query, headers=NDJSON), status, problem, stored=stored)

    yield batch("no line", b"", 400, NO_JSON, stored=0)
    yield batch("blank lines", b"\n \n", 400, NO_JSON, stored=0)
    yield batch("one line", line(), 202, stored=1)
    yield batch("10,000 lines", line() * 10_000, 202, stored=10_000)
    yield batch("10,001 lines", line() * 10_001, 413, BLANK, stored=0)
    yield batch("a bad one among 500", line() * 250 + b"[\n" + line() * 249, 207, stored=499)
    yield batch(
        "a bad one, all or none", line() * 250 + b"[\n" + line() * 249, 422, "/problems/none-stored", stored=0,
        query=b"?atomic=1",
    )  # fmt: skip
    yield batch("twins", line(key="twin") * 3, 202, stored=1)
    yield batch("twins of different minds", line(1, key="mind") + line(2, key="mind"), 207, stored=1)
    yield batch("a line above the limit", line() + line("x" * LARGEST), 207, stored=1)
    cut = post(line() * 3, to=MANY, headers=NDJSON).replace(b"Content-Length: ", b"Content-Length: 1")
    yield Row(50, "a batch cut off between two lines", cut, 400, NO_JSON, stored=0, half_close=True)


ROWS = [
    row for family in (documents, wide, orders, types, times, ids, keys, batches) for row in family()
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.group}: {row.name}")
def test_each_is_answered_and_only_the_good_ones_are_stored(ledger_road: Road, door: Door, row: Row) -> None:
    before = len(ledger_road.ids())
    [reply] = wire.ask(door.address, row.request, half_close=row.half_close)
    assert reply.status == row.status, reply.body[:300]
    if row.problem:
        assert reply.headers["content-type"] == "application/problem+json"
        assert (reply.document["type"], reply.document["status"]) == (row.problem, row.status)
    if row.field is not None:
        fault = reply.document["errors"][0]
        assert fault.get("pointer", fault.get("parameter")) == row.field
    assert door.post("open.any").status == 202
    stored = row.stored if row.stored is not None else int(row.status == 202)
    assert len(ledger_road.ids()) - before == stored + 1


def test_of_fifty_twins_at_once_one_is_stored_and_other_minds_are_refused(door: Door, ledger_road: Road) -> None:
    """Group 49. What becomes of a key after its time is in ``tests/integration/clock/test_upkeep.py``."""
    before = len(ledger_road.ids())

    def send(number: int) -> Reply:
        request = post(b"%d" % (number // 45), headers=JSON + b'Idempotency-Key: "fifty"\r\n')
        return wire.ask(door.address, request)[0]

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        replies = list(pool.map(send, range(50)))
    taken = [r.document["id"] for r in replies if r.status == 202]
    assert sorted(r.status for r in replies) in ([202] * 45 + [422] * 5, [202] * 5 + [422] * 45)
    assert len(set(taken)) == 1
    assert len(ledger_road.ids()) - before == 1
