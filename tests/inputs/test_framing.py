"""HTTP that is framed in a bad way, as bytes on the wire to a real web process: groups 1 to 15.

The server in front of our code (granian, with hyper) answers what is no HTTP itself, without a body. All else is
answered by a problem document. After each row the same process stores a good event, and only good ones are stored.
"""

from __future__ import annotations

import dataclasses
import socket
import struct
import time

import pytest

from tests.door import Door
from tests.inputs import wire
from tests.inputs.wire import CLOSE, CLOSED, HOST, JSON, SILENT, post
from tests.road import Road

pytestmark = pytest.mark.postgres

POST = b"POST /v1/events/open.any HTTP/1.1\r\n"
CHUNKED = POST + HOST + JSON + CLOSE + b"Transfer-Encoding: chunked\r\n\r\n"
LINE = b'{"type": "open.any", "payload": {}}\n'
LINES = CHUNKED.replace(b"/open.any", b"").replace(b"application/json", b"application/x-ndjson")
SERVER = "the HTTP server"  #: answers itself, without a body
NOTHING = ""  #: there is no problem: the status tells


@dataclasses.dataclass(frozen=True)
class Row:
    """What is sent, and what comes back."""

    group: int
    name: str
    parts: tuple[bytes | float, ...]
    status: int
    problem: str = NOTHING  #: type of the problem document, or SERVER
    words: str = ""  #: in its detail
    half_close: bool = False  #: the client says that it will send no more


def length(value: bytes, body: bytes = b"{}", more: bytes = b"") -> bytes:
    """A post that says its length like this."""
    return POST + HOST + JSON + CLOSE + more + b"Content-Length: " + value + b"\r\n\r\n" + body


def header(line: bytes) -> bytes:
    """A good post with one more header."""
    return post(headers=JSON + line + b"\r\n")


def request(method: bytes, target: bytes, version: bytes = b"HTTP/1.1", body: bytes = b"") -> bytes:
    """A request without a length."""
    return method + b" " + target + b" " + version + b"\r\n" + HOST + JSON + CLOSE + b"\r\n" + body


NO_JSON = "/problems/not-strict-json"
NO_TYPE = "/problems/unknown-event-type"
BLANK = "about:blank"
END = b"0\r\n\r\n"
TE = b"Transfer-Encoding: "
FORWARDED = b"X-Forwarded-Host: evil\r\nX-Forwarded-Proto: https\r\nForwarded: host=evil"

ROWS = [
    Row(1, "no body", (request(b"POST", b"/v1/events/open.any"),), 400, NO_JSON, "empty"),
    Row(1, "a length of 0", (length(b"0", b""),), 400, NO_JSON, "empty"),
    Row(2, "an empty object", (post(b"{}"),), 202),
    Row(3, "a length that is too short", (length(b"1"),), 400, NO_JSON, "truncated"),
    Row(3, "a length that is too long", (length(b"10"),), SILENT),
    Row(3, "the same, and the client ends", (length(b"10"),), 400, NO_JSON, "cut off", half_close=True),
    Row(3, "a number cut off", (length(b"4", b"12"),), 400, NO_JSON, "cut off", half_close=True),
    Row(3, "a negative length", (length(b"-1"),), 400, SERVER),
    Row(3, "a length with a sign", (length(b"+2"),), 400, SERVER),
    Row(3, "a length that is no number", (length(b"x"),), 400, SERVER),
    Row(3, "two lengths", (length(b"2", more=b"Content-Length: 3\r\n"),), 400, SERVER),
    Row(3, "a length beyond 64 bits", (length(b"9" * 20),), 400, SERVER),
    Row(3, "a length of ten gigabytes", (length(b"9" * 10),), 413, BLANK),
    # By RFC 9112, section 6.3, the length is passed over: there is one request, with the body of the chunks.
    Row(4, "chunks and a length", (length(b"2", b"2\r\n{}\r\n" + END, TE + b"chunked\r\n"),), 202),
    Row(4, "an encoding that is not chunked", (length(b"2", more=TE + b"gzip\r\n"),), 400, SERVER),
    Row(5, "chunks that never end", (CHUNKED, b"2\r\n[1\r\n"), SILENT),
    Row(5, "chunks", (CHUNKED, b"1\r\n{\r\n", b"1\r\n}\r\n" + END), 202),
    Row(5, "chunks whose end is missing", (CHUNKED, b"2\r\n{}\r\n"), 400, NO_JSON, "cut off", half_close=True),
    Row(5, "only the last chunk is missing", (CHUNKED, b"2\r\n{}\r\n0\r\n"), 400, NO_JSON, "cut off", half_close=True),
    Row(5, "lines whose end is missing", (LINES, b"%x\r\n%s\r\n" % (len(LINE), LINE)), 400, NO_JSON, "cut off",
        half_close=True),
    Row(5, "lines in chunks", (LINES, b"%x\r\n%s\r\n" % (len(LINE), LINE), END), 202),
    Row(5, "no chunk", (CHUNKED,), 400, NO_JSON, "cut off", half_close=True),
    Row(5, "only the end", (CHUNKED, END), 400, NO_JSON, "empty"),
    Row(5, "a chunk whose size is no number", (CHUNKED + b"zz\r\n{}\r\n" + END,), 400, NO_JSON, "cut off"),
    Row(5, "the same after a document", (CHUNKED, b"2\r\n{}\r\nzz\r\n"), 400, NO_JSON, "cut off"),
    Row(5, "a chunk that is cut off", (CHUNKED, b"9\r\n[1, 2"), 400, NO_JSON, "cut off", half_close=True),
    Row(5, "trailers", (CHUNKED, b"2\r\n{}\r\n0\r\nX-A: b\r\n\r\n"), 400, NO_JSON, "trailers"),
    Row(5, "chunks beyond the limit", (CHUNKED, *[b"10000\r\n" + b" " * 65_536 + b"\r\n"] * 5, END), 413, BLANK),
    Row(6, "a slow body", (length(b"2", b""), *[part for byte in b"{}" for part in (0.4, bytes([byte]))]), 202),
    Row(7, "a header of 100 KiB", (header(b"X-A: " + b"a" * 102_400),), 202),
    Row(7, "a header of a megabyte", (header(b"X-A: " + b"a" * 1_000_000),), 431, SERVER),
    Row(8, "10,000 headers", (header(b"\r\n".join(b"X-%d: a" % n for n in range(10_000))),), 431, SERVER),
    Row(9, "two hosts", (header(b"Host: other"),), 403),
    Row(9, "two content types", (header(b"Content-Type: text/plain"),), 415, BLANK),
    Row(9, "two keys", (header(b'Idempotency-Key: "a"\r\nIdempotency-Key: "b"'),), 400, "/problems/invalid-header"),
    Row(10, "a CR in a header", (header(b"X-A: a\rb"),), 400, SERVER),
    Row(10, "a header that is folded", (header(b"X-A: a\r\n b"),), 400, SERVER),
    Row(10, "a NUL in a header", (header(b"X-A: a\0b"),), 400, SERVER),
    Row(10, "a space before the colon", (header(b"X-A : a"),), 400, SERVER),
    Row(10, "a request id of two lines", (header(b"X-Request-Id: a%0d%0aX-B: c"),), 202),
    Row(10, "a producer that is no UTF-8", (header(b"X-Producer: \xe4\xff\x85"),), 202),
    Row(11, "TRACE", (request(b"TRACE", b"/v1/events/open.any"),), 405, BLANK),
    Row(11, "PUT", (post().replace(b"POST", b"PUT", 1),), 405, BLANK),
    Row(11, "CONNECT", (request(b"CONNECT", b"other:80"),), 404, BLANK),
    Row(11, "OPTIONS *", (request(b"OPTIONS", b"*"),), 404, BLANK),
    Row(11, "GET with a body", (post(to=b"/healthz").replace(b"POST", b"GET", 1),), 200),
    Row(11, "a method of another case", (post().replace(b"POST", b"post", 1),), 202),
    Row(12, "double slashes", (post(to=b"//v1//events"),), 404, BLANK),
    Row(12, "a slash at the end", (post(to=b"/v1/events/"),), 404, BLANK),
    Row(12, "dots", (post(to=b"/v1/events/../events/open.any"),), 404, BLANK),
    Row(12, "encoded dots", (post(to=b"/v1/events/%2e%2e/events/open.any"),), 404, BLANK),
    Row(12, "a parameter of a segment", (post(to=b"/v1/events/open.any;x"),), 404, NO_TYPE),
    Row(12, "a NUL", (post(to=b"/v1/events/\0"),), 400, SERVER),
    Row(12, "an encoded NUL", (post(to=b"/v1/events/%00"),), 404, NO_TYPE),
    Row(12, "a bad escape", (post(to=b"/v1/events/%zz%ff"),), 404, NO_TYPE),
    Row(12, "raw UTF-8", (post(to="/v1/events/ä".encode()),), 404, NO_TYPE),
    Row(12, "60,000 characters", (post(to=b"/v1/events/" + b"a" * 60_000),), 404, NO_TYPE),
    Row(12, "70,000 characters", (post(to=b"/v1/events/" + b"a" * 70_000),), 414, SERVER),
    Row(13, "HTTP/1.0", (post().replace(b"HTTP/1.1", b"HTTP/1.0", 1),), 202),
    Row(13, "HTTP/0.9", (b"GET /healthz\r\n",), 400, SERVER),
    Row(13, "HTTP/2", (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",), CLOSED),
    Row(13, "HTTP/3.7", (request(b"GET", b"/healthz", b"HTTP/3.7"),), 400, SERVER),
    Row(13, "TLS", (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 50,), 400, SERVER),
    Row(13, "an absolute target", (post(to=b"http://other/v1/events/open.any"),), 202),
    Row(13, "no host", (post().replace(HOST, b"", 1),), 202),
    Row(13, "a host that is none", (post().replace(HOST, b"Host: a b<\r\n", 1),), 403),
    Row(14, "forged X-Forwarded", (header(FORWARDED),), 202),
    Row(14, "a forged host", (post().replace(HOST, b"Host: evil\r\n", 1),), 403),
    Row(15, "Expect, and the body", (header(b"Expect: 100-continue"),), 202),
    Row(15, "Expect, and no body", (length(b"2", b"", b"Expect: 100-continue\r\n"),), SILENT),
    Row(15, "Expect, of too much", (length(b"9" * 8, b"", b"Expect: 100-continue\r\n"),), 413, BLANK),
    Row(15, "another expectation", (header(b"Expect: tea"),), 202),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.group}: {row.name}")
def test_each_is_answered_and_harms_nobody(ledger_road: Road, door: Door, row: Row) -> None:
    before = len(ledger_road.ids())
    patience = 1.0 if row.status == SILENT else wire.TIMEOUT
    replies = wire.ask(door.address, *row.parts, half_close=row.half_close, patience=patience)
    assert len(replies) == 1, "what belongs to one request was taken for another"
    assert replies[0].status == row.status
    if row.problem == SERVER:
        assert replies[0].by_server
    elif row.problem:
        assert replies[0].headers["content-type"] == "application/problem+json"
        assert (replies[0].document["type"], replies[0].document["status"]) == (row.problem, row.status)
        assert row.words in replies[0].document["detail"]
        assert row.words != "cut off" or replies[0].document["stored"] == "no"
    assert b"evil" not in replies[0].body, "an address was made of what the client said"
    assert door.post("open.any").status == 202
    assert len(ledger_road.ids()) - before == (2 if row.status == 202 else 1)


@pytest.mark.parametrize("framing", [b"Content-Length: 100", b"Transfer-Encoding: chunked"])
@pytest.mark.parametrize("silence", [0.0, 0.3])
def test_of_a_client_that_is_gone_nothing_is_stored(
    ledger_road: Road, door: Door, framing: bytes, silence: float
) -> None:
    """Group 5: what came of its body is a document, and the end did not come, nor will it."""
    before = len(ledger_road.ids())
    host, _, port = door.address.rpartition(":")
    connection = socket.create_connection((host, int(port)), timeout=wire.TIMEOUT)
    chunk = b"2\r\n{}\r\n" if b"chunked" in framing else b"{}"
    connection.sendall(POST + HOST + JSON + framing + b"\r\n\r\n" + chunk)
    time.sleep(silence)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()  # With a reset: nobody is there to be told.
    for _ in range(3):  # What came of it would stand before these.
        assert door.post("open.any").status == 202
    assert len(ledger_road.ids()) - before == 3


def test_requests_in_a_row_are_told_apart(door: Door) -> None:
    """Group 4: what follows a request is the next one, and never a part of it."""
    good = post().replace(CLOSE, b"")
    replies = wire.ask(
        door.address, good + post(b"[").replace(CLOSE, b"") + good + post(b"1", to=b"/v1/events/open.order")
    )
    assert [r.status for r in replies] == [202, 400, 202, 422]
