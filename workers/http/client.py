"""A client for one request: it goes to a checked address, ends in time, and reads no more than is kept.

Python's own http.client, for it can be handed a connection that we have made; it has no redirects, proxies or cookies.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import email.utils
import functools
import http.client
import socket
import ssl
import threading
import time
import urllib.parse
from collections.abc import Mapping, Sequence
from typing import Any

from service.domain import errors
from workers.http import guard

HEADERS = 50  #: headers of a response that are kept
VALUE = 500  #: characters of a header that are kept
UNKEPT = frozenset({"set-cookie", "set-cookie2"})
LONGEST_WAIT = 86_400.0  #: seconds; a receiver cannot put us off for longer


class RequestFailed(errors.MillraceError):
    """There was no answer. It is tried again."""


@dataclasses.dataclass(frozen=True, slots=True)
class Response:
    """What came back."""

    status: int
    reason: str
    headers: dict[str, str]  #: names in lower case
    text: str
    cut: bool  #: whether there was more
    seconds: float  #: from begin to end

    @property
    def retry_after(self) -> float | None:
        """Seconds until the receiver wants to be asked again, if it said so (RFC 9110, 10.2.3).

        An instant is compared with the instant of the response, by the receiver's clock like the other; where that one
        is not told, it says nothing to us, whose clocks are others.
        """
        written = self.headers.get("retry-after", "")
        if written.isascii() and written.isdigit():
            return min(float(written[:9]), LONGEST_WAIT)
        until, since = _date(written), _date(self.headers.get("date", ""))
        if until is None or since is None:
            return None
        return min(max(0.0, (until - since).total_seconds()), LONGEST_WAIT)

    def document(self) -> dict[str, Any]:
        """As the event's result."""
        return {
            "status": self.status,
            "headers": self.headers,
            "body": self.text,
            "cut": self.cut,
            "seconds": round(self.seconds, 3),
        }


def _date(text: str) -> datetime.datetime | None:
    """An HTTP date, or None for what is no date."""
    try:
        found = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=datetime.UTC)


def now() -> int:
    """Seconds since the epoch by this host: what is told to others, and compared by them with clocks of their own."""
    return int(time.time())


def send(
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes | None,
    allowed: Sequence[guard.Network],
    *,
    timeout: float,
    limit: int,
) -> Response:
    """Send a request and read its response, ``limit`` bytes of it at the most.

    ``timeout``: seconds for all of it, looking up the name not included. Raises guard.Forbidden, and RequestFailed when
    there is no answer in time.
    """
    parts = urllib.parse.urlsplit(url)
    host, secure = parts.hostname or "", parts.scheme == "https"
    connection = _Connection(host, parts.port or (443 if secure else 80), secure)
    since = time.monotonic()
    try:
        addresses = guard.resolve(connection.host, connection.port, allowed)
        since = time.monotonic()
        with connection.ended_after(timeout):
            connection.open(addresses, timeout)
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            connection.request(method, target, body, dict(headers))
            with connection.getresponse() as found:
                content = found.read(limit + 1)
                if len(content) <= limit and found.length:  # Which http.client passes over in silence.
                    raise http.client.IncompleteRead(content, found.length)
        if time.monotonic() - since >= timeout:
            raise TimeoutError  # What was ended from outside may look like an end.
    except (OSError, http.client.HTTPException) as error:
        late = time.monotonic() - since >= timeout
        why = f"no answer within {timeout:g} s" if late else f"{type(error).__name__}: {error}".rstrip(": ")
        raise RequestFailed(f"{method} {parts.scheme}://{parts.netloc}: {why}") from None
    finally:
        connection.close()
    return Response(
        found.status,
        found.reason,
        _kept(found.getheaders()),
        _text(content[:limit], found.headers.get_content_charset() or "utf-8"),
        len(content) > limit,
        time.monotonic() - since,
    )


class _Connection(http.client.HTTPConnection):
    """A connection that is opened to an address that was checked, whatever the host's name means by now."""

    auto_open = 0  # Never by itself, which would be by name.

    def __init__(self, host: str, port: int, secure: bool) -> None:
        super().__init__(host, port)
        self.default_port = 443 if secure else 80  # What need not be said in the header Host.
        self._secure = secure
        #: The socket as long as anybody reads from it; http.client lets go of ``sock`` when it has the headers.
        self.line: socket.socket | None = None

    def open(self, addresses: Sequence[tuple[socket.AddressFamily, str]], timeout: float) -> None:
        """Connect to the first address that answers."""
        for number, (family, address) in enumerate(addresses, 1):
            self.sock = self.line = socket.socket(family, socket.SOCK_STREAM)
            try:
                self.sock.settimeout(timeout / len(addresses))
                self.sock.connect((address, self.port))
                break
            except OSError:
                self.sock.close()
                if number == len(addresses):
                    raise
        self.sock.settimeout(timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._secure:
            self.sock = self.line = _tls().wrap_socket(
                self.sock, server_hostname=self.host, do_handshake_on_connect=False
            )
            self.sock.do_handshake()

    def ended_after(self, seconds: float) -> _Deadline:
        """Ends it from outside: a receiver that sends a byte now and then would keep any timeout of a socket alive."""
        return _Deadline(self, seconds)


@functools.cache
def _tls() -> ssl.SSLContext:
    found = ssl.create_default_context()
    found.set_alpn_protocols(["http/1.1"])
    return found


class _Deadline:
    def __init__(self, connection: _Connection, seconds: float) -> None:
        self._connection = connection
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True

    def _end(self) -> None:
        line = self._connection.line
        if line is not None:
            with contextlib.suppress(OSError):  # It is not connected yet, or closed.
                line.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()


def _kept(found: Sequence[tuple[str, str]]) -> dict[str, str]:
    kept = [(name.lower(), _storable(value[:VALUE])) for name, value in found if name.lower() not in UNKEPT]
    return dict(kept[:HEADERS])


def _text(content: bytes, charset: str) -> str:
    try:
        return _storable(content.decode(charset, "replace"))
    except (LookupError, ValueError):  # A charset that nobody knows.
        return _storable(content.decode("utf-8", "replace"))


def _storable(text: str) -> str:
    """What the ledger can keep: no NUL."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")
