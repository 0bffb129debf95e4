"""What tests of producers share: a door on a real ledger, and a way to it that is not to be relied on."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import pathlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx

from service import client as clients
from service.local import ports
from service.local.postgres import PostgresServer
from tests import ledgers
from tests.ledgers import Ledger
from tests.road import Road


@contextlib.contextmanager
def shop(postgres: PostgresServer, template: str, name: str, folder: pathlib.Path) -> Iterator[Shop]:
    """A door whose broker is away, which producers are not to notice."""
    postgres.execute(f"create database {name} template {template}")
    url = postgres.dsn_of(name)
    road = Road(url, f"amqp://guest@127.0.0.1:{ports.free()}//", folder)
    try:
        yield Shop(road, Ledger(url))
    finally:
        road.stop()
        ledgers.close_all()


class Shop:
    """The door and its ledger."""

    def __init__(self, road: Road, ledger: Ledger) -> None:
        self.road = road
        self.ledger = ledger
        self.door = road.web()
        self.url = f"http://{self.door.address}"

    def stored(self, **payload: Any) -> list[str]:
        """The ids of the events with such a payload."""
        rows = self.road.sql("select id::text, payload from millrace.events order by id")
        return [i for i, found in rows if payload.items() <= found.items()]


class Moody(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """A way to the door that does what it is told to, request by request, and then lets all pass.

    A number is answered in place of the door, with ``Retry-After: 1``; ``lost``: the request arrives, its answer does
    not; ``away``: nothing arrives; ``garbled``: the answer says that it is compressed, and is not. ``room``: bytes of a
    body that pass at most, as a proxy has it.
    """

    def __init__(self, *moods: int | str, room: int | None = None) -> None:
        self.moods = list(moods)
        self.room = room
        self.requests: list[httpx.Request] = []
        self._way = httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        mood = self.moods.pop(0) if self.moods else "pass"
        self.requests.append(request)
        if self.room is not None and len(request.content) > self.room:
            mood = 413
        if isinstance(mood, int):
            return httpx.Response(mood, headers={"Retry-After": "1"}, text="<h1>busy</h1>")
        if mood == "away":
            raise httpx.ConnectError("nobody is there")
        if mood == "garbled":
            return httpx.Response(200, headers={"Content-Encoding": "gzip"}, content=b"not compressed")
        response = self._way.handle_request(request)
        response.read()
        if mood == "lost":
            raise httpx.ReadError("the connection broke")
        return response

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        found = self.handle_request(request)
        return httpx.Response(found.status_code, headers=found.headers, content=found.content)

    def close(self) -> None:
        self._way.close()

    async def aclose(self) -> None:
        self._way.close()


class Waited:
    """An ``AsyncClient`` whose calls are waited for, so that one test serves both clients."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._loop = asyncio.new_event_loop()
        self._client = clients.AsyncClient(*args, **options)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)

        def call(*args: Any, **options: Any) -> Any:
            found = method(*args, **options)
            return self._loop.run_until_complete(found if inspect.iscoroutine(found) else _all(found))

        return call

    def __enter__(self) -> Waited:
        return self

    def __exit__(self, *error: object) -> None:
        self._loop.run_until_complete(self._client.close())
        self._loop.close()


async def _all(found: AsyncIterator[Any]) -> list[Any]:
    return [one async for one in found]
