"""The client for programs on an event loop."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import AsyncIterator, Iterable
from typing import Any, Self, TypeVar, Unpack

import httpx

from service.client import calls, core, lines
from service.client.documents import Event, Item, Json, NewEvent

T = TypeVar("T")


class AsyncClient:
    """Millrace at a URL, for one event loop; what ``Client`` says holds here."""

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        producer: str | None = None,
        timeout: float = core.Limits.timeout,
        deadline: float = core.Limits.deadline,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """``key``: an API key. ``producer``: the name that events are shown with. Seconds for one attempt, for all."""
        self._limits = core.Limits(timeout, deadline)
        self._http = lines.opened(httpx.AsyncClient, url, key, producer, transport)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close its connections."""
        await self._http.aclose()

    async def submit(self, type: str, payload: Json = None, *, wait: float = 0, **more: Unpack[lines.More]) -> Event:
        """Post an event; it is durable when this returns. See ``Client.submit``."""
        return await self._run(calls.submit(NewEvent(type, payload, **more), wait, self._limits))

    async def batch(self, events: Iterable[NewEvent]) -> list[Item]:
        """Post many events; what became of each, in order. Never raises for what became of one."""
        return await self._run(calls.batch(events, self._limits))

    async def get(self, event_id: str) -> Event:
        """An event with all that is known of it."""
        return await self._run(calls.get(event_id, self._limits))

    async def wait(self, event_id: str, within: float = 60.0) -> Event:
        """The event as it has ended; raises NotEnded after ``within`` seconds."""
        return await self._run(calls.follow(event_id, within, self._limits))

    async def iterate(self, *, page: int = 200, **filters: Unpack[calls.Filters]) -> AsyncIterator[Event]:
        """Events, the newest first, without payloads; fetched in pages as they are wanted."""
        async for row in self.rows("/v1/events", "events", {**filters, "limit": page}):
            yield Event.of(row)

    async def cancel(self, event_id: str, *, because: str | None = None) -> str:
        """Withdraw an event; its state: ``cancelled``, or ``running`` and asked to stop."""
        return await self._run(calls.cancel(event_id, because, self._limits))

    async def replay(self, event_id: str, *, because: str | None = None, **edited: Json) -> str:
        """Work a dead letter again, with another ``payload=`` if one is given; the id of the new event."""
        return await self._run(calls.replay(event_id, lines.edited(edited), because, self._limits))

    async def discard(self, event_id: str, *, because: str | None = None) -> None:
        """Have nothing more come of a dead letter: it leaves the list; the event stays as it is."""
        await self._run(calls.discard(event_id, because, self._limits))

    async def replay_many(
        self, *, dry_run: bool = False, rate: float | None = None, starts_at: datetime.datetime | str | None = None,
        because: str | None = None, **which: Unpack[calls.Letters],
    ) -> dict[str, Any]:  # fmt: skip
        """Work dead letters again, ``rate`` a second; what came of it, by type. ``dry_run`` only looks.

        It answers after about 20 seconds, or after ``limit`` (1,000), with what was done. Ask again while ``complete``
        is false, and give ``next_at`` of the answer back as ``starts_at``, so that all turns together keep the rate.
        """
        query = {"dry_run": dry_run, "rate": rate, "starts_at": starts_at, "because": because, **which}
        return await self._run(calls.on_many("replay", query, self._limits))

    async def discard_many(
        self, *, dry_run: bool = False, because: str | None = None, **which: Unpack[calls.Letters]
    ) -> dict[str, Any]:
        """Have nothing more come of dead letters, up to ``limit`` (10,000); how many, by type. ``dry_run`` only counts.

        Ask again while something is ``left``.
        """
        return await self._run(
            calls.on_many("discard", {"dry_run": dry_run, "because": because, **which}, self._limits)
        )

    async def rows(self, path: str, member: str, query: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """The rows of any list of the API, page by page."""
        cursor = None
        while True:
            found = await self._run(calls.page(path, member, {**query, "cursor": cursor}, self._limits))
            for row in found.rows:
                yield row
            if (cursor := found.cursor) is None:
                return

    async def request(self, request: core.Request) -> core.Answer:
        """Any request of the API, with the same care."""
        return await self._run(core.exchange(request, self._limits))

    async def _run(self, steps: core.Steps[T]) -> T:
        got: core.Answer | core.Fault | None = None
        try:
            while True:
                step = steps.send(got)
                got = await (self._send(step) if isinstance(step, core.Send) else asyncio.sleep(step.seconds, None))
        except StopIteration as done:
            found: T = done.value
            return found

    async def _send(self, step: core.Send) -> core.Answer | core.Fault:
        try:
            return lines.answer(await self._http.send(lines.request(self._http, step)))
        except httpx.RequestError as error:
            return lines.fault(error)
