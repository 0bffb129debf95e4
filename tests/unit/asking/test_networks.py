"""Whom requests reach: the world and nobody else, by the name in the certificate."""

from __future__ import annotations

import ipaddress
import pathlib
import socket
import ssl
import subprocess

import pytest

from service import settings
from tests.receiver import Receiver, receiving
from tests.unit.asking.ask import LOOPBACK, ask
from workers import Discard
from workers.http import client, guard, handlers


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


def test_no_connection_is_made_by_name() -> None:
    with pytest.raises(Exception, match=r"^$"):
        client._Connection("localhost", 80, secure=False).request("GET", "/")
    with pytest.raises(guard.Forbidden):
        client.send("GET", "http://localhost/", {}, None, (), timeout=1, limit=1)
