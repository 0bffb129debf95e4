"""A receiver of requests: a real HTTP server on a free port, that keeps what it got and answers as it is told."""

from __future__ import annotations

import dataclasses
import http.server
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@dataclasses.dataclass(frozen=True, slots=True)
class Got:
    """A request as it came."""

    method: str
    target: str
    headers: dict[str, str]  #: names in lower case
    body: bytes


@dataclasses.dataclass(slots=True)
class Receiver:
    """What came, and what is answered: bytes from the status line on."""

    port: int
    answers: list[bytes] = dataclasses.field(default_factory=list)  #: one for each request, the last for the rest too
    got: list[Got] = dataclasses.field(default_factory=list)
    act: Callable[[socket.socket], None] | None = None  #: does the answering itself, instead

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"


def answer(status: str, body: bytes = b"", **headers: str) -> bytes:
    """An answer of a server."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


@contextmanager
def receiving(*answers: bytes, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """A receiver that runs as long as the block."""
    found = Receiver(0, list(answers) or [answer("200 OK", b"fine")])

    class Handler(http.server.BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            headers = {name.lower(): value for name, value in self.headers.items()}
            found.got.append(Got(self.command, self.path, headers, self.rfile.read(length)))
            self.close_connection = True
            if found.act is not None:
                found.act(self.connection)
            else:
                self.wfile.write(found.answers[min(len(found.got), len(found.answers)) - 1])

        do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = handle_any

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """A client that hangs up is what some tests want."""

    server = Server((host, 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    found.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
