"""HTTP by hand: requests as bytes, as no client library would send them."""

from __future__ import annotations

import dataclasses
import http.client
import io
import json
import socket
import time
from typing import Any, cast

from tests.patience import PATIENCE

SILENT = -1  #: in the place of a status: nothing was answered while we waited
CLOSED = 0  #: in the place of a status: the connection was closed without an answer
TIMEOUT = 10.0  #: seconds in which every complete request is answered

HOST = b"Host: door\r\n"
JSON = b"Content-Type: application/json\r\n"
CLOSE = b"Connection: close\r\n"


@dataclasses.dataclass(frozen=True, slots=True)
class Reply:
    """One answer."""

    status: int
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    body: bytes = b""

    @property
    def document(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def by_server(self) -> bool:
        """Whether the HTTP server answered, before any code of ours: without a body, and without an id."""
        return not self.body and "x-request-id" not in self.headers


def post(body: bytes = b"{}", *, to: bytes = b"/v1/events/open.any", headers: bytes = JSON) -> bytes:
    """A good post, but for what is given."""
    length = b"Content-Length: %d\r\n" % len(body)
    return b"POST " + to + b" HTTP/1.1\r\n" + HOST + headers + CLOSE + length + b"\r\n" + body


def ask(address: str, *parts: bytes | float, half_close: bool = False, patience: float = TIMEOUT) -> list[Reply]:
    """Send bytes, with pauses of so many seconds, and read all answers until the connection is closed."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=patience * PATIENCE) as connection:
        received = b""
        try:
            for part in parts:
                if isinstance(part, float):
                    time.sleep(part)
                else:
                    connection.sendall(part)
            if half_close:
                connection.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError):
            pass  # A server may answer before it has read everything.
        try:
            while found := connection.recv(65_536):
                received += found
        except TimeoutError:
            return read(received) or [Reply(SILENT)]
        except ConnectionResetError:
            pass
    return read(received) or [Reply(CLOSED)]


def read(received: bytes) -> list[Reply]:
    """The answers in what was received."""
    stream = _Stream(received)
    replies = []
    while stream.tell() < len(received):
        response = http.client.HTTPResponse(cast(socket.socket, stream))
        try:
            response.begin()  # It passes over a `100 Continue`.
        except http.client.RemoteDisconnected:
            break
        headers = {name.lower(): value for name, value in response.getheaders()}
        replies.append(Reply(response.status, headers, response.read()))
    return replies


class _Stream(io.BytesIO):
    """What ``HTTPResponse`` takes for a socket."""

    def makefile(self, *_: Any) -> _Stream:
        return self

    def close(self) -> None:
        """Another answer may follow."""
