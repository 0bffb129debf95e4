"""Connections to RabbitMQ for publishing, checking and declaring."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
import urllib.parse
from collections.abc import Callable, Iterator
from typing import Any

import amqp

from service.broker import tolerance
from service.domain import errors

CONNECT_TIMEOUT = 3.0  #: seconds
ANSWER = 5.0  #: seconds for the answer to what a process asks of the broker before it can begin
PIECE = 32 * 1024  #: bytes that are sent at once, where many messages are
#: py-amqp's default of one second for TCP_USER_TIMEOUT kills a connection at any hiccup of the network.
TCP_USER_TIMEOUT = 10_000  #: milliseconds
SOCKET: dict[Any, Any] = {socket.TCP_USER_TIMEOUT: TCP_USER_TIMEOUT}

#: What py-amqp raises when the broker is not to be had. TimeoutError and socket errors are OSErrors.
FAULTS = (OSError, amqp.exceptions.AMQPError, amqp.exceptions.ConnectionError)


def connect(url: str, *, heartbeat: int, name: str, **options: Any) -> Any:
    """An open amqp.Connection; raises BrokerUnavailable with the reason."""
    tolerance.install()
    parts = urllib.parse.urlsplit(url)
    port = parts.port or (5671 if parts.scheme == "amqps" else 5672)
    connection = amqp.Connection(
        host=f"{parts.hostname or '127.0.0.1'}:{port}",
        userid=urllib.parse.unquote(parts.username or "guest"),
        password=urllib.parse.unquote(parts.password or "guest"),
        virtual_host=vhost(url),
        ssl=tls(url) or False,
        connect_timeout=CONNECT_TIMEOUT,
        # A broker that froze keeps its sockets open and says nothing; heartbeats are not looked at while one waits.
        read_timeout=2 * heartbeat or None,
        heartbeat=heartbeat,
        client_properties={"connection_name": name},
        socket_settings=SOCKET,
        **options,
    )
    try:
        connection.connect()
    except FAULTS as error:
        connection.collect()
        raise errors.BrokerUnavailable(f"RabbitMQ at {place(url)} cannot be used: {reason(error)}") from error
    return connection


class NoAnswer(TimeoutError):
    """The broker is there and does not answer, as for a queue whose node is frozen."""


@contextlib.contextmanager
def within(connection: Any, seconds: float | None) -> Iterator[None]:
    """Raises NoAnswer when what is waited for inside is not there after so many seconds in all; None: no limit.

    The connection's own ``read_timeout`` begins anew with each heartbeat, and a node that lives sends them while it
    waits for another that says nothing. After it, the connection is to be dropped: the answer may still come.
    """
    if seconds is None:
        yield
        return
    until = time.monotonic() + seconds
    read = connection.blocking_read

    def blocking_read(timeout: float | None = None) -> Any:
        left = until - time.monotonic()
        if left <= 0:
            raise NoAnswer(f"no answer within {seconds:g} s")
        if timeout is not None and timeout < left:
            return read(timeout)
        try:
            return read(left)
        except TimeoutError as error:
            if error.errno is not None:
                raise  # Of the line, which is broken (ETIMEDOUT).
            raise NoAnswer(f"no answer within {seconds:g} s") from None

    connection.blocking_read = blocking_read
    try:
        yield
    finally:
        connection.blocking_read = read


@contextlib.contextmanager
def gathered(connection: Any, left: Callable[[], float]) -> Iterator[None]:
    """What is written inside goes out in large pieces, each of which may take ``left()`` seconds.

    One message at a time costs a system call here, and wakes the broker: half of what it costs to publish. What waits
    is sent before an answer is waited for, as py-amqp does when the broker has closed a channel. Raises what the socket
    raises; after it, the connection is to be dropped.
    """
    transport, read = connection.transport, connection.blocking_read
    write, waiting = transport._write, bytearray()

    def send() -> None:
        with transport.having_timeout(left()):
            write(waiting)
        waiting.clear()

    def gather(frames: memoryview) -> None:
        waiting.extend(frames)
        if len(waiting) >= PIECE:
            send()

    def blocking_read(timeout: float | None = None) -> Any:
        if timeout != 0 and waiting:
            send()
        return read(left() if timeout is None else timeout)

    transport._write, connection.blocking_read = gather, blocking_read
    try:
        yield
        if waiting:
            send()
    finally:
        transport._write, connection.blocking_read = write, read


#: In a URL's query, as RabbitMQ's own clients read it (its page "URI Query Parameters") → what py-amqp calls it.
FILES = {"cacertfile": "ca_certs", "certfile": "certfile", "keyfile": "keyfile"}


def tls(url: str) -> dict[str, Any] | None:
    """How TLS is spoken with the broker: its certificate and its name are checked. None without TLS.

    The query of the URL may name files: the authority that signed the broker's certificate (``cacertfile``; else those
    of the system), our own certificate, where the broker asks for one, and its key (``certfile``, ``keyfile``).
    """
    parts = urllib.parse.urlsplit(url)
    if parts.scheme != "amqps":
        return None
    asked = dict(urllib.parse.parse_qsl(parts.query))
    files = {ours: asked[theirs] for theirs, ours in FILES.items() if theirs in asked}
    return {"cert_reqs": ssl.CERT_REQUIRED, "server_hostname": parts.hostname, **files}


def vhost(url: str) -> str:
    """The virtual host in a URL, as Celery reads it: no path means ``/``."""
    return urllib.parse.unquote(urllib.parse.urlsplit(url).path[1:]) or "/"


def place(url: str) -> str:
    """A URL without its password, for messages."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme == "filesystem":
        return url
    return f"{parts.hostname}:{parts.port or 5672}{parts.path}"


def reason(error: BaseException) -> str:
    """What went wrong, in one line."""
    text = str(error).strip().split("\n")[0]
    return text or type(error).__name__
