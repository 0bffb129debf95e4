"""Responses: cut, kept, slow, half, or none."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import Any

import pytest

from tests.patience import PATIENCE
from tests.receiver import Receiver, answer, receiving
from tests.unit.asking.ask import ask
from workers.http import client


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
