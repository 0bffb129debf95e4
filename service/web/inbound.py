"""What comes in: a request of RSGI as a WSGI environment, and its body.

Source: the RSGI specification 1.6 (granian), and PEP 3333. A body is read on the event loop, whole and in time, before
any thread is taken: a client that sends slowly, or not at all, holds nobody up.
"""

from __future__ import annotations

import asyncio
import functools
import sys
from collections.abc import AsyncIterator, Awaitable
from typing import Any, Protocol, TypeVar

from granian.rsgi import ProtocolClosed  # type: ignore[attr-defined]
from werkzeug import exceptions

from service.web import body

T = TypeVar("T")

LINGER = 1_048_576  #: bytes more that are read, and thrown away, of a body that turned out to be too large

#: The value of a header that is not ASCII: RSGI names it, and does not tell its value.
UNREADABLE = "\N{REPLACEMENT CHARACTER}"

#: What is the same for every request.
FIXED: dict[str, Any] = {
    "SCRIPT_NAME": "",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "SERVER_SOFTWARE": "granian",
    "wsgi.version": (1, 0),
    "wsgi.errors": sys.stderr,
    "wsgi.multithread": True,
    "wsgi.multiprocess": False,
    "wsgi.run_once": False,
    "wsgi.input_terminated": True,
}


class Readable(Protocol):
    """What a body is read from."""

    async def __call__(self) -> bytes: ...
    def __aiter__(self) -> AsyncIterator[bytes]: ...


def environ(scope: Any) -> dict[str, Any]:
    """The WSGI environment of a request, without its body."""
    found = FIXED | {
        "REQUEST_METHOD": scope.method,
        # PEP 3333, "Unicode Issues": bytes as Latin-1.
        "PATH_INFO": scope.path.encode().decode("latin-1"),
        "QUERY_STRING": scope.query_string,
    }
    for name, value in scope.headers.items():
        key = _variable(name)
        if key:
            found[key] = f"{found[key]},{value}" if key in found else value
    for name in scope.headers.keys():  # noqa: SIM118 -- it is no dict
        if (key := _variable(name)) and key not in found:
            found[key] = UNREADABLE
    return found


def complete(environ: dict[str, Any], scope: Any) -> None:
    """Add what Flask may ask for beside it."""
    host, _, port = scope.server.rpartition(":")
    environ["SERVER_NAME"], environ["SERVER_PORT"] = host, port
    environ["REMOTE_ADDR"], _, environ["REMOTE_PORT"] = scope.client.rpartition(":")
    environ["wsgi.url_scheme"] = scope.scheme


def length(environ: dict[str, Any]) -> int:
    """The length of the body in bytes, as it was announced; -1 if it was not."""
    given: str = environ.get("CONTENT_LENGTH", "")
    return int(given) if given.isdecimal() and len(given) < 20 else -1


async def read(protocol: Readable, announced: int, within: float) -> bytes:
    """A body whose length was announced. Raises RequestTimeout, and CutOff."""
    if announced == 0:
        return b""
    return await _in_time(protocol(), within)


async def read_unannounced(protocol: Readable, most: int, within: float) -> bytes:
    """A body in chunks; of one that is too large, a little more than ``most`` bytes. Raises like ``read``.

    granian tells of no error here: it hands out an empty part instead. It does so for the end as well, once, and for
    trailers. So a second one means that the end is missing, or that there are trailers, which nobody reads.
    """
    parts, empty = await _in_time(_parts(protocol, most), within)
    if empty > 1:
        raise body.CutOff(", or it has trailers")
    return b"".join(parts)


async def _parts(protocol: Readable, most: int) -> tuple[list[bytes], int]:
    """The parts of a body as they come, and how many of them were empty."""
    parts: list[bytes] = []
    size = empty = 0
    async for part in protocol:
        if size <= most:
            parts.append(part)
        size += len(part)
        empty += not part
        # A client that is still sending when its connection is closed may lose the answer.
        if size > most + LINGER:
            break
    return parts, empty


async def _in_time(reading: Awaitable[T], within: float) -> T:
    try:
        async with asyncio.timeout(within):
            return await reading
    except TimeoutError:
        raise exceptions.RequestTimeout(f"the body did not come within {within:g} seconds") from None
    except ProtocolClosed:
        raise body.CutOff() from None


@functools.lru_cache(maxsize=1024)
def _variable(header: str) -> str:
    """The name of a header in the environment; empty for one that another header could be taken for."""
    if "_" in header:
        return ""
    name = header.upper().replace("-", "_")
    return name if name in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{name}"
