"""The client for programs that wait."""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterable, Iterator
from typing import Any, Self, TypeVar, Unpack

import httpx

from service.client import calls, core, lines
from service.client.documents import Event, Item, Json, NewEvent

T = TypeVar("T")


class Client:
    """Millrace at a URL. One client serves all threads of a process; close it, or use it as a context manager.

    Each call is asked again, with the same idempotency key, after connection faults, 429, 502, 503 and 504, until
    ``deadline`` seconds have passed. All raise the errors of ``service.client.errors``.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        producer: str | None = None,
        timeout: float = core.Limits.timeout,
        deadline: float = core.Limits.deadline,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """``key``: an API key. ``producer``: the name that events are shown with. Seconds for one attempt, for all."""
        self._limits = core.Limits(timeout, deadline)
        self._http = lines.opened(httpx.Client, url, key, producer, transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def submit(self, type: str, payload: Json = None, *, wait: float = 0, **more: Unpack[lines.More]) -> Event:
        """Post an event; it is durable when this returns.

        ``wait``: seconds to wait for its outcome; look at ``ended`` then. ``more``: key, run_at, delay, expires_at,
        traceparent, as in ``NewEvent``.
        """
        return self._run(calls.submit(NewEvent(type, payload, **more), wait, self._limits))

    def batch(self, events: Iterable[NewEvent]) -> list[Item]:
        """Post many events; what became of each, in order. Never raises for what became of one."""
        return self._run(calls.batch(events, self._limits))

    def get(self, event_id: str) -> Event:
        """An event with all that is known of it."""
        return self._run(calls.get(event_id, self._limits))

    def wait(self, event_id: str, within: float = 60.0) -> Event:
        """The event as it has ended; raises NotEnded after ``within`` seconds."""
        return self._run(calls.follow(event_id, within, self._limits))

    def iterate(self, *, page: int = 200, **filters: Unpack[calls.Filters]) -> Iterator[Event]:
        """Events, the newest first, without payloads; fetched in pages as they are wanted."""
        for row in self.rows("/v1/events", "events", {**filters, "limit": page}):
            yield Event.of(row)

    def cancel(self, event_id: str, *, because: str | None = None) -> str:
        """Withdraw an event; its state: ``cancelled``, or ``running`` and asked to stop."""
        return self._run(calls.cancel(event_id, because, self._limits))

    def replay(self, event_id: str, *, because: str | None = None, **edited: Json) -> str:
        """Work a dead letter again, with another ``payload=`` if one is given; the id of the new event."""
        return self._run(calls.replay(event_id, lines.edited(edited), because, self._limits))

    def discard(self, event_id: str, *, because: str | None = None) -> None:
        """Have nothing more come of a dead letter: it leaves the list; the event stays as it is."""
        self._run(calls.discard(event_id, because, self._limits))

    def replay_many(
        self, *, dry_run: bool = False, rate: float | None = None, starts_at: datetime.datetime | str | None = None,
        because: str | None = None, **which: Unpack[calls.Letters],
    ) -> dict[str, Any]:  # fmt: skip
        """Work dead letters again, ``rate`` a second; what came of it, by type. ``dry_run`` only looks.

        It answers after about 20 seconds, or after ``limit`` (1,000), with what was done. Ask again while ``complete``
        is false, and give ``next_at`` of the answer back as ``starts_at``, so that all turns together keep the rate.
        """
        query = {"dry_run": dry_run, "rate": rate, "starts_at": starts_at, "because": because, **which}
        return self._run(calls.on_many("replay", query, self._limits))

    def discard_many(
        self, *, dry_run: bool = False, because: str | None = None, **which: Unpack[calls.Letters]
    ) -> dict[str, Any]:
        """Have nothing more come of dead letters, up to ``limit`` (10,000); how many, by type. ``dry_run`` only counts.

        Ask again while something is ``left``.
        """
        return self._run(calls.on_many("discard", {"dry_run": dry_run, "because": because, **which}, self._limits))

    def rows(self, path: str, member: str, query: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The rows of any list of the API, page by page."""
        cursor = None
        while True:
            found = self._run(calls.page(path, member, {**query, "cursor": cursor}, self._limits))
            yield from found.rows
            if (cursor := found.cursor) is None:
                return

    def request(self, request: core.Request) -> core.Answer:
        """Any request of the API, with the same care."""
        return self._run(core.exchange(request, self._limits))

    def _run(self, steps: core.Steps[T]) -> T:
        got: core.Answer | core.Fault | None = None
        try:
            while True:
                step = steps.send(got)
                if isinstance(step, core.Send):
                    got = self._send(step)
                else:
                    time.sleep(step.seconds)
                    got = None
        except StopIteration as done:
            found: T = done.value
            return found

    def _send(self, step: core.Send) -> core.Answer | core.Fault:
        try:
            return lines.answer(self._http.send(lines.request(self._http, step)))
        except httpx.RequestError as error:
            return lines.fault(error)
