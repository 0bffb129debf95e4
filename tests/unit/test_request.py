"""Requests over HTTP: their payload, what is sent, and what the answers mean, on real sockets."""

from __future__ import annotations

import base64
import configparser
import contextlib
import datetime
import email.utils
import hashlib
import hmac
import ipaddress
import json
import pathlib
import socket
import ssl
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from typing import Any

import pydantic
import pytest

from service import plugins, settings
from service.domain import webhooks
from service.domain.errors import InvalidEvent
from service.domain.event import Event
from tests.patience import PATIENCE
from tests.receiver import Receiver, answer, receiving
from workers import Discard, Retry
from workers.face import parser
from workers.http import client, guard, handlers
from workers.http.request import Request

LOOPBACK = (ipaddress.ip_network("127.0.0.1/32"),)
KEY = bytes(range(32))
SECRET = webhooks.Secret("billing", None, KEY)
EVENT = Event(
    "01a1fac5-2b4a-76a7-8ab1-b1998b705c1b",
    "http.request",
    None,
    1,
    datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
    traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
)


class Ctx:
    event = EVENT


@pytest.fixture(autouse=True)
def configured(monkeypatch: pytest.MonkeyPatch) -> None:
    found = settings.Settings(request_networks=LOOPBACK, webhook_secrets=(SECRET,), request_keep=1000)
    monkeypatch.setattr(handlers, "configured", lambda: found)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


def ask(**payload: Any) -> Any:
    wanted = parser(Request)(payload)
    return handlers.request(wanted, Ctx())  # type: ignore[arg-type]


def test_the_handler_is_detached_and_has_a_queue_of_its_own() -> None:
    found = plugins.registry.get("http.request")
    assert (found.detached, found.queue, found.attempts) == (True, "http", 8)


def test_its_schema_tells_the_defaults_of_its_statuses() -> None:
    with warnings.catch_warnings(action="error"):
        schema = pydantic.TypeAdapter(plugins.registry.get("http.request").payload).json_schema()
    found = {name: schema["properties"][name]["default"] for name in ("success", "retry")}
    assert found == {"success": ["2xx"], "retry": [408, 425, 429, "5xx"]}


def test_it_enters_by_the_users_door(monkeypatch: pytest.MonkeyPatch) -> None:
    config = configparser.ConfigParser()
    config.read(pathlib.Path(__file__).parents[2] / "setup.cfg")
    named = dict(line.split(" = ") for line in config["options.entry_points"][plugins.GROUP].split("\n") if line)
    assert named["http"] == "workers.http"
    # Whoever looks for a part of an app need not have loaded it.
    monkeypatch.delitem(sys.modules, "workers.http")
    assert plugins.optional("workers.http", "handlers") is handlers
    assert plugins.optional("workers.http", "views") is None


def test_a_request_is_sent_and_its_response_is_the_result(receiver: Receiver) -> None:
    receiver.answers = [answer("201 Created", b'{"id": 7}', Content_Type="application/json", Set_Cookie="a=b", X="1")]
    found = ask(url=f"{receiver.url}/orders?a=b%20c", json={"order": "ä", "n": [1, None]}, headers={"X-Team": "blue"})
    assert (found["status"], json.loads(found["body"]), found["cut"]) == (201, {"id": 7}, False)
    assert found["headers"] == {
        "content-length": "9", "connection": "close", "content-type": "application/json", "x": "1",
    }  # fmt: skip
    [got] = receiver.got
    assert (got.method, got.target) == ("POST", "/orders?a=b%20c")
    assert got.body == '{"order":"ä","n":[1,null]}'.encode()
    assert got.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert got.headers["content-type"] == "application/json"
    assert got.headers["idempotency-key"] == f'"{EVENT.id}"'
    assert got.headers["traceparent"] == EVENT.traceparent
    assert got.headers["user-agent"].startswith("millrace/")
    assert got.headers["x-team"] == "blue"
    assert "webhook-signature" not in got.headers


@pytest.mark.parametrize(
    ("payload", "method", "body", "content_type"),
    [
        ({}, "GET", b"", None),
        ({"json": None}, "POST", b"null", "application/json"),
        ({"body": "a=b", "headers": {"content-type": "application/x-www-form-urlencoded"}}, "POST", b"a=b",
         "application/x-www-form-urlencoded"),
        ({"body": "ä", "method": "PUT"}, "PUT", "ä".encode(), "text/plain; charset=utf-8"),
        ({"method": "DELETE"}, "DELETE", b"", None),
        ({"method": "POST"}, "POST", b"", None),
    ],
)  # fmt: skip
def test_method_and_body(
    receiver: Receiver, payload: dict[str, Any], method: str, body: bytes, content_type: str | None
) -> None:
    ask(url=receiver.url, **payload)
    [got] = receiver.got
    assert (got.method, got.target, got.body) == (method, "/", body)
    assert got.headers.get("content-type") == content_type


def test_a_signed_request_can_be_checked_by_its_receiver(receiver: Receiver) -> None:
    ask(url=receiver.url, json={"paid": True}, secret="billing")
    [got] = receiver.got
    assert got.headers["webhook-id"] == EVENT.id
    stamp = got.headers["webhook-timestamp"]
    assert abs(int(stamp) - time.time()) < 60
    signed = b".".join([EVENT.id.encode(), stamp.encode(), got.body])
    expected = base64.b64encode(hmac.digest(KEY, signed, hashlib.sha256)).decode()
    assert got.headers["webhook-signature"] == f"v1,{expected}"


def test_a_secret_that_is_not_known_makes_a_dead_letter_and_no_request(receiver: Receiver) -> None:
    with pytest.raises(Discard, match="there is no secret 'other' for 127"):
        ask(url=receiver.url, secret="other")
    assert receiver.got == []


@pytest.mark.parametrize(
    ("status", "payload", "outcome"),
    [
        ("204 No Content", {}, dict),
        ("500 Oops", {}, Retry),
        ("503 Busy", {}, Retry),
        ("408 Slow", {}, Retry),
        ("425 Early", {}, Retry),
        ("429 Many", {}, Retry),
        ("400 Bad", {}, Discard),
        ("404 None", {}, Discard),
        ("410 Gone", {}, Discard),
        ("404 None", {"retry": ["4xx"]}, Retry),
        ("503 Busy", {"retry": []}, Discard),
        ("409 There", {"success": ["2xx", 409]}, dict),
        ("200 OK", {"success": [204], "retry": [200]}, Retry),
    ],
)
def test_what_a_status_means(receiver: Receiver, status: str, payload: dict[str, Any], outcome: type[Any]) -> None:
    receiver.answers = [answer(status, b"" if status[:3] == "204" else b"because")]
    if outcome is dict:
        assert ask(url=receiver.url, **payload)["status"] == int(status[:3])
        return
    with pytest.raises(outcome) as caught:
        ask(url=receiver.url, **payload)
    assert str(caught.value) == f"{status}: because"


@pytest.mark.fault(57)
def test_a_redirect_is_not_followed(receiver: Receiver) -> None:
    receiver.answers = [answer("302 Found", Location="http://169.254.169.254/latest/meta-data/")]
    with pytest.raises(Discard, match=r"redirects are not followed; name http://169\.254\.169\.254/latest/meta-data/"):
        ask(url=receiver.url)
    assert len(receiver.got) == 1


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("30", 30.0), ("99999999999999", 86_400.0), ("soon", None), ("-5", None), ("", None), (None, None)],
)
def test_a_receiver_says_when_it_wants_to_be_asked_again(
    receiver: Receiver, written: str | None, seconds: float | None
) -> None:
    receiver.answers = [answer("503 Busy", **({} if written is None else {"Retry_After": written}))]
    with pytest.raises(Retry) as caught:
        ask(url=receiver.url)
    assert caught.value.after == seconds


def test_or_until_when(receiver: Receiver) -> None:
    receiver.answers = [answer("429 Many", Retry_After=email.utils.formatdate(time.time() + 100, usegmt=True))]
    with pytest.raises(Retry) as caught:
        ask(url=receiver.url)
    assert caught.value.after == pytest.approx(100, abs=30)


def test_a_long_response_is_cut_and_its_rest_is_not_waited_for(receiver: Receiver) -> None:
    gone = threading.Event()

    def endless(sock: socket.socket) -> None:
        try:
            sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            while not gone.is_set():
                sock.sendall(b"x" * 10_000)
        except OSError:
            gone.set()

    receiver.act = endless
    found = ask(url=receiver.url)
    assert (found["cut"], found["body"]) == (True, "x" * 1000)
    assert gone.wait(10 * PATIENCE)


@pytest.mark.parametrize(
    ("content", "charset", "text"),
    [
        (b"\xe4\0b", "iso-8859-1", "ä\ufffdb"),
        (b"\xe4b", "utf-8", "\ufffdb"),
        (b"ab", "no-such-charset", "ab"),
        (b"ab", "hex", "ab"),
    ],
)
def test_any_response_can_be_kept(receiver: Receiver, content: bytes, charset: str, text: str) -> None:
    receiver.answers = [answer("200 OK", content, Content_Type=f"text/plain; charset={charset}")]
    assert ask(url=receiver.url)["body"] == text


def dripping(sock: socket.socket) -> None:
    """A byte now and then keeps any timeout of a socket alive."""
    try:
        for byte in b"HTTP/1.1 200 OK\r\nX: " + b"y" * 600:
            sock.sendall(bytes([byte]))
            time.sleep(0.05)
    except OSError:
        pass


def silent(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.recv(1)


def in_the_body(sock: socket.socket) -> None:
    sock.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nx")
    dripping(sock)


@pytest.mark.fault(57)
@pytest.mark.parametrize("act", [dripping, silent, in_the_body])
def test_a_receiver_that_takes_too_long_is_given_up_in_time(receiver: Receiver, act: Any) -> None:
    receiver.act = act
    begin = time.monotonic()
    with pytest.raises(client.RequestFailed, match=r"GET http://127\.0\.0\.1:\d+: no answer within 0\.5 s"):
        ask(url=receiver.url, timeout=0.5)
    assert time.monotonic() - begin < 5 * PATIENCE


@pytest.mark.fault(57)
@pytest.mark.parametrize(
    "sent",
    [b"", b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf",
     b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"],
)  # fmt: skip
def test_half_an_answer_is_none_and_is_tried_again(receiver: Receiver, sent: bytes) -> None:
    receiver.answers = [sent]
    with pytest.raises(client.RequestFailed):
        ask(url=receiver.url)


@pytest.mark.fault(57)
def test_nobody_there_is_tried_again() -> None:
    with receiving() as gone:
        pass
    with pytest.raises(client.RequestFailed, match="ConnectionRefusedError"):
        ask(url=gone.url)


def test_what_is_not_the_worlds_is_not_asked(monkeypatch: pytest.MonkeyPatch, receiver: Receiver) -> None:
    monkeypatch.setattr(handlers, "configured", settings.Settings)
    with pytest.raises(Discard, match=r"127\.0\.0\.1, which is no address of the public internet"):
        ask(url=receiver.url)
    assert receiver.got == []


@pytest.mark.fault(57)
def test_a_name_that_means_something_else_a_moment_later_helps_nobody(
    monkeypatch: pytest.MonkeyPatch, receiver: Receiver
) -> None:
    looked_up: list[object] = []

    def rebound(host: str, port: int, *_: object, **__: object) -> list[tuple[object, ...]]:
        looked_up.append(host)
        address = "127.0.0.1" if len(looked_up) == 1 else "127.0.0.2"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", rebound)
    assert ask(url=f"http://rebound.example:{receiver.port}/")["status"] == 200
    assert looked_up == ["rebound.example"]
    assert receiver.got[0].headers["host"] == f"rebound.example:{receiver.port}"


def test_the_next_address_is_tried(monkeypatch: pytest.MonkeyPatch, receiver: Receiver) -> None:
    def two(host: str, port: int, *_: object, **__: object) -> list[tuple[object, ...]]:
        found = ((socket.AF_INET6, "::1"), (socket.AF_INET, "127.0.0.1"))
        return [(family, socket.SOCK_STREAM, 6, "", (address, port)) for family, address in found]

    monkeypatch.setattr(socket, "getaddrinfo", two)
    allowed = (*LOOPBACK, ipaddress.ip_network("::1/128"))
    monkeypatch.setattr(handlers, "configured", lambda: settings.Settings(request_networks=allowed))
    assert ask(url=f"http://two.example:{receiver.port}/")["status"] == 200


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[pathlib.Path, pathlib.Path]:
    """A certificate of hooks.example, signed by itself, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    words = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=hooks.example -addext subjectAltName=DNS:hooks.example"
    subprocess.run(["openssl", *words.split(), "-out", cert, "-keyout", key], check=True, capture_output=True)
    return cert, key


@pytest.mark.fault(57)
@pytest.mark.parametrize(
    ("host", "trusted", "fault"),
    [
        ("hooks.example", True, None),
        ("other.example", True, "Hostname mismatch"),
        ("hooks.example", False, "CERTIFICATE_VERIFY_FAILED"),
    ],
)
def test_the_certificate_must_be_that_of_the_name(
    monkeypatch: pytest.MonkeyPatch,
    certificate: tuple[pathlib.Path, pathlib.Path],
    host: str,
    trusted: bool,
    fault: str | None,
) -> None:
    def lookup(host: str, port: int, *_: object, **__: object) -> list[tuple[object, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    client._tls.cache_clear()
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(*certificate)
    with receiving(tls=server) as receiver:
        if fault is None:
            assert ask(url=f"https://{host}:{receiver.port}/x")["status"] == 200
            assert receiver.got[0].headers["host"] == f"{host}:{receiver.port}"
        else:
            with pytest.raises(client.RequestFailed, match=fault):
                ask(url=f"https://{host}:{receiver.port}/x")
            assert receiver.got == []
    client._tls.cache_clear()


@pytest.mark.parametrize(
    ("payload", "pointer", "why"),
    [
        ({}, "/url", "Field required"),
        ({"url": "example.com"}, "/url", "like https://example.com/hook"),
        ({"url": "ftp://example.com"}, "/url", "like https://example.com/hook"),
        ({"url": "file:///etc/passwd"}, "/url", "like https://example.com/hook"),
        ({"url": "http:///x"}, "/url", "like https://example.com/hook"),
        ({"url": "http://a:99999/"}, "/url", "like https://example.com/hook"),
        ({"url": "http://[::1/"}, "/url", "like https://example.com/hook"),
        ({"url": "http://u:p@example.com/"}, "/url", "no user or password"),
        ({"url": "http://example.com/a b"}, "/url", "what is not as %20"),
        ({"url": "http://example.com/\r\nX: y"}, "/url", "plain ASCII"),
        ({"url": "http://exämple.com/"}, "/url", "plain ASCII"),
        ({"url": "http://example.com/" + "x" * 3000}, "/url", "2048"),
        ({"url": "http://a/", "method": "TRACE"}, "/method", "'GET'"),
        ({"url": "http://a/", "headers": {"A b": "x"}}, "/headers", "no name of a header"),
        ({"url": "http://a/", "headers": {"A": "x\r\nB: y"}}, "/headers", "A: a value in one line"),
        ({"url": "http://a/", "headers": {"A": "€"}}, "/headers", "Latin-1"),
        ({"url": "http://a/", "headers": {"HOST": "b"}}, "/headers", "HOST is written by Millrace itself"),
        ({"url": "http://a/", "headers": {"Webhook-Signature": "b"}}, "/headers", "written by Millrace itself"),
        ({"url": "http://a/", "json": None, "body": "x"}, "", "give either json or body"),
        ({"url": "http://a/", "timeout": 0}, "/timeout", "greater than 0"),
        ({"url": "http://a/", "timeout": 601}, "/timeout", "600"),
        ({"url": "http://a/", "retry": "5xx"}, "/retry", 'a list of statuses is wanted, like [204, "5xx"]'),
        ({"url": "http://a/", "retry": [700]}, "/retry", "a list of statuses"),
        ({"url": "http://a/", "success": [True]}, "/success", "a list of statuses"),
        ({"url": "http://a/", "secrets": "x"}, "/secrets", "not permitted"),
    ],
)
def test_a_payload_that_is_no_request_is_refused_at_the_door(payload: dict[str, Any], pointer: str, why: str) -> None:
    with pytest.raises(InvalidEvent) as caught:
        parser(Request)(payload)
    [fault] = caught.value.faults
    assert fault.pointer == pointer
    assert why in fault.detail


def test_no_connection_is_made_by_name() -> None:
    with pytest.raises(Exception, match=r"^$"):
        client._Connection("localhost", 80, secure=False).request("GET", "/")
    with pytest.raises(guard.Forbidden):
        client.send("GET", "http://localhost/", {}, None, (), timeout=1, limit=1)
