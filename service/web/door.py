"""The door as granian calls it, by RSGI: plain posts on the event loop, everything else in Flask, on threads."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import io
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import flask
from granian.rsgi import ProtocolClosed  # type: ignore[attr-defined]

from service.application import accept
from service.web import envelopes, foresight, hooks, inbound, lane
from service.web.road import Road


class Door:
    """An RSGI application around that of Flask."""

    def __init__(self, app: flask.Flask, road: Road, on_loop: Callable[[], None] = lambda: None) -> None:
        self._app = app
        self._settings = road.settings
        self._lane = lane.Lane(app, road)
        self._on_loop = on_loop
        self._threads = concurrent.futures.ThreadPoolExecutor(road.settings.web_threads, "millrace-door")
        #: So many bodies that are larger than an event's, or may be, are in memory at once.
        self._large = asyncio.Semaphore(road.settings.web_threads)
        #: So many requests with many events are worked at once: they keep the ledger busy, and threads are left. More
        #: would wait in threads, and most of them in vain.
        self._many = asyncio.Semaphore(max(1, road.settings.web_threads // 4))

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Called by granian before the first request."""
        self._lane.open_on(loop)
        loop.call_soon(self._on_loop)  # A loop may take over the signals when it begins to run.

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        """Called by granian for each request."""
        environ = inbound.environ(scope)
        with contextlib.suppress(ProtocolClosed):  # The client has gone.
            if self._lane.takes(environ) and await self._lane.serve(environ, protocol):
                return
            inbound.complete(environ, scope)
            if foresight.is_wanted(environ) and await self._is_refused(environ):
                await self._flask(environ, b"", protocol)
                return
            # Those who bring nothing, or little, need not wait for those who bring much, or are slow to bring it.
            large = self._large if self._may_be_large(environ) else None
            many = self._many if envelopes.brings_many(environ) else None
            async with self._place(environ, large, "too many large bodies are being read"):
                data = b"" if hooks.ALREADY in environ else await self._body(environ, protocol)
                async with self._place(environ, many, "too many events are waiting to be stored"):
                    await self._flask(environ, data, protocol)

    async def _is_refused(self, environ: dict[str, Any]) -> bool:
        if hooks.ALREADY in environ:
            return False
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, foresight.is_refused, self._app, environ)

    @contextlib.asynccontextmanager
    async def _place(self, environ: dict[str, Any], places: asyncio.Semaphore | None, full: str) -> AsyncIterator[None]:
        """A place, if one is wanted. Whoever has waited for the deadline, for all its places together, is refused."""
        if places is None or hooks.ALREADY in environ:
            yield
            return
        left: float = environ.get(envelopes.LEFT, self._settings.accept_deadline)
        begun = time.monotonic()
        try:
            await asyncio.wait_for(places.acquire(), left)
        except TimeoutError:
            hooks.refuse(environ, accept.NotStored(full, retry_after=math.ceil(self._settings.accept_deadline)))
            yield
            return
        environ[envelopes.LEFT] = left - (time.monotonic() - begun)
        try:
            yield
        finally:
            places.release()

    def _may_be_large(self, environ: dict[str, Any]) -> bool:
        return "HTTP_TRANSFER_ENCODING" in environ or inbound.length(environ) > self._settings.max_body

    async def _body(self, environ: dict[str, Any], protocol: Any) -> bytes:
        most = max(self._settings.max_body, self._settings.max_bulk)
        announced, within = inbound.length(environ), self._settings.body_deadline
        try:
            if announced > most:
                return b""  # Flask refuses it for what was announced.
            if announced >= 0:
                return await inbound.read(protocol, announced, within)
            if "HTTP_TRANSFER_ENCODING" in environ:
                return await inbound.read_unannounced(protocol, most, within)
        except Exception as error:
            hooks.refuse(environ, error)
        return b""

    async def _flask(self, environ: dict[str, Any], data: bytes, protocol: Any) -> None:
        loop = asyncio.get_running_loop()
        environ["wsgi.input"] = io.BytesIO(data)
        response = _Response(protocol, loop)
        await loop.run_in_executor(self._threads, response.make, self._app, environ)
        if response.whole is not None:
            protocol.response_bytes(response.status, response.headers, response.whole)


class _Response:
    """What Flask answers, made in a thread. What is streamed is sent from there, piece by piece."""

    def __init__(self, protocol: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._protocol = protocol
        self._loop = loop
        self.status = 500
        self.headers: list[tuple[str, str]] = []
        self.whole: bytes | None = None

    def make(self, app: flask.Flask, environ: dict[str, Any]) -> None:
        found = app(environ, self._start)
        try:
            if isinstance(found, list | tuple):
                self.whole = b"".join(found)
            else:
                self._take(iter(found))
        finally:
            if hasattr(found, "close"):
                found.close()

    def _start(self, status: str, headers: list[tuple[str, str]], _error: Any = None) -> Callable[[bytes], object]:
        self.status, self.headers = int(status.split(" ", 1)[0]), headers
        return self._write

    def _write(self, _part: bytes) -> object:
        raise NotImplementedError("write() of PEP 3333 is for frameworks older than this")

    def _take(self, parts: Iterator[bytes]) -> None:
        names = {name.lower() for name, _ in self.headers}
        if "content-length" in names:
            self.whole = b"".join(parts)
            return
        part = next(parts, None)
        if part is None:
            self.whole = b""
            return
        stream = self._wait_for(self._begin_stream())
        while part is not None:
            self._wait_for(stream.send_bytes(part))
            part = next(parts, None)

    async def _begin_stream(self) -> Any:
        return self._protocol.response_stream(self.status, self.headers)

    def _wait_for(self, awaitable: Awaitable[Any]) -> Any:
        """RSGI is spoken on the loop alone."""

        async def run() -> Any:
            return await awaitable

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result()
