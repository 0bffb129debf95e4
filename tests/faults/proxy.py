"""A TCP proxy that does to connections what networks do to them; switched while they are open.

It stands before one server of the test and runs in a thread with an event loop of its own. One thing it cannot do: a
kernel acknowledges what the proxy holds back, so neither keepalives nor ``tcp_user_timeout`` can notice. That makes
its blackhole the worst kind, a peer that is there and silent, such as a balancer that has lost its way.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import itertools
import random
import socket
import struct
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

from service.local import ports

T = TypeVar("T")
UP, DOWN = "up", "down"  #: from client to server, from server to client
CHUNK = 65_536  #: bytes that are read at once
GLANCE = 0.01  #: seconds between two looks at a weather that lets nothing through
RESET = struct.pack("ii", 1, 0)  #: SO_LINGER that makes a close an RST


@dataclasses.dataclass(frozen=True, slots=True)
class Weather:
    """What is done to all that passes."""

    latency: float = 0.0  #: seconds in each direction
    jitter: float = 0.0  #: up to so many seconds more
    rate: float = 0.0  #: bytes per second in each direction of each connection; 0: as fast as it goes
    lost: bool = False  #: nothing arrives, no end of a connection either; afterwards all of it does
    paused: bool = False  #: nobody reads, so that the buffers of those who write fill up
    refused: bool = False  #: new connections are reset
    corrupt: str = ""  #: the direction in which the first byte of whatever is read is changed


CLEAR = Weather()


@dataclasses.dataclass(frozen=True, slots=True)
class Cut:
    """Where one connection breaks, once: after so many bytes of a new one, or just before some words pass."""

    direction: str
    after: int = -1  #: bytes
    words: bytes = b""  #: they do not pass
    since: bytes = b""  #: and only count when these words have passed upwards on the same connection before
    silent: bool = False  #: it is not reset: both ends keep it open and hear nothing any more


class Link:
    """One connection through the proxy."""

    def __init__(self, number: int, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.number = number
        self.carried = {UP: 0, DOWN: 0}  #: bytes that have passed
        self.silent = False
        self.since: set[bytes] = set()
        self.writers = {UP: server, DOWN: client}
        for writer in self.writers.values():
            writer.transport.set_write_buffer_limits(high=0)  # What is drained is in the kernel.

    def reset(self) -> None:
        """RST to both ends."""
        for writer in self.writers.values():
            abort(writer)

    def close(self, direction: str) -> None:
        """FIN to the end that this direction leads to; it may go on writing."""
        if not self.writers[direction].is_closing():
            self.writers[direction].write_eof()


def abort(writer: asyncio.StreamWriter) -> None:
    """Close a socket with an RST."""
    with contextlib.suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()


class Proxy:
    """Before the server on one port of this machine."""

    def __init__(self, target: int, *, host: str = ports.LOOPBACK, port: int = 0) -> None:
        self.target = target
        self.host = host
        self.port = port or ports.free()
        self.weather = CLEAR
        self.links: list[Link] = []  #: all that are open
        self.newest: Link | None = None
        self.cuts = 0  #: how many connections have broken as they were told to
        self._cut: tuple[Cut, int] | None = None
        self._numbers = itertools.count(1)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"proxy-{target}", daemon=True)
        self._server: asyncio.Server | None = None

    def start(self) -> Proxy:
        """Listen."""
        self._thread.start()
        self._server = self._run(asyncio.start_server(self._serve, self.host, self.port))
        return self

    def stop(self) -> None:
        """Reset what is open, and listen no more."""
        self.heal()
        self._run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def instead_of(self, url: str) -> str:
        """The address of its server, through this proxy."""
        assert f":{self.target}/" in url, f"{url} is not the server on port {self.target}"
        return url.replace(f":{self.target}/", f":{self.port}/")

    @contextlib.contextmanager
    def weather_of(self, **changes: Any) -> Iterator[None]:
        """Such weather inside, and a clear sky afterwards."""
        self.weather = dataclasses.replace(CLEAR, **changes)
        try:
            yield
        finally:
            self.heal()

    def heal(self) -> None:
        """Let everything through, from now on and what was held back. Cut no more."""
        self.weather, self._cut = CLEAR, None

    def cut(self, cut: Cut) -> None:
        """Break a connection, once: one that is made from now on if it is cut by bytes."""
        self._cut = cut, self._call(lambda: next(self._numbers))

    def reset(self) -> int:
        """RST on both sides of all connections; how many they were."""
        return self._call(lambda: len([link.reset() for link in list(self.links)]))

    def leave(self) -> None:
        """Reset all connections, and listen no more, as a machine that is switched off."""

        def leave() -> None:
            assert self._server is not None
            self._server.close()
            for link in list(self.links):
                link.reset()

        self._call(leave)

    def half_close(self, direction: str) -> None:
        """FIN on all connections towards one side, as if the other had no more to say."""
        self._call(lambda: [link.close(direction) for link in self.links])

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = next(self._numbers)
        if self.weather.refused:
            return abort(writer)
        await self._wait_while(lambda: self.weather.lost)
        try:
            answers, server = await asyncio.open_connection(ports.LOOPBACK, self.target)
        except OSError:
            return abort(writer)
        link = Link(number, writer, server)
        self.newest = link
        self.links.append(link)
        try:
            await asyncio.gather(self._pump(link, reader, UP), self._pump(link, answers, DOWN))
        finally:
            self.links.remove(link)
            for end in link.writers.values():
                end.close()

    async def _pump(self, link: Link, source: asyncio.StreamReader, direction: str) -> None:
        """Carry one direction of a connection to its end."""
        try:
            while data := await self._read(link, source):
                await self._carry(link, data, direction)
            link.close(direction)
        except OSError:
            await self._wait_while(lambda: self.weather.lost or link.silent)
            link.reset()

    async def _read(self, link: Link, source: asyncio.StreamReader) -> bytes:
        await self._wait_while(lambda: self.weather.paused)
        data = await source.read(CHUNK)
        weather = self.weather
        if weather.latency or weather.jitter:
            await asyncio.sleep(weather.latency + random.uniform(0, weather.jitter))
        await self._wait_while(lambda: self.weather.lost or link.silent)
        return data

    async def _carry(self, link: Link, data: bytes, direction: str) -> None:
        end = self._end_of(link, data, direction)
        if self.weather.corrupt == direction:
            data = bytes([data[0] ^ 0xFF]) + data[1:]
        data = data if end is None else data[:end]
        step = max(1, int(self.weather.rate / 10)) if self.weather.rate else len(data)
        for begin in range(0, len(data), step or 1):
            part = data[begin : begin + step]
            link.writers[direction].write(part)
            await link.writers[direction].drain()
            link.carried[direction] += len(part)
            if self.weather.rate:
                await asyncio.sleep(len(part) / self.weather.rate)
        if end is not None:
            self._break(link)

    def _end_of(self, link: Link, data: bytes, direction: str) -> int | None:
        """After how many of these bytes the connection breaks, if it does."""
        if self._cut is None:
            return None
        cut, armed = self._cut
        if direction == UP and cut.since and cut.since in data:
            link.since.add(cut.since)
        if direction != cut.direction:
            return None
        if cut.words:
            return data.index(cut.words) if cut.words in data and cut.since in {b"", *link.since} else None
        left = cut.after - link.carried[direction]
        return left if link.number > armed and left <= len(data) else None

    def _break(self, link: Link) -> None:
        assert self._cut is not None
        link.silent = self._cut[0].silent
        self._cut = None
        self.cuts += 1
        if not link.silent:
            link.reset()

    async def _wait_while(self, condition: Callable[[], bool]) -> None:
        while condition():
            await asyncio.sleep(GLANCE)

    async def _stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for link in list(self.links):
            link.silent = False
            link.reset()
        await asyncio.sleep(5 * GLANCE)
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def _call(self, action: Callable[[], T]) -> T:
        """Do something between two steps of the loop."""

        async def call() -> T:
            return action()

        return self._run(call())

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)
