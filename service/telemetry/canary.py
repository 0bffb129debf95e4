"""Sending the canary: through the door, over HTTP, as any client does, and looking there for what became of it.

Every clock sends its own. What is lost or late is counted, and nothing else happens: a canary never disturbs a clock.
A queue that no live worker takes gets none, unless a setting names it: nobody may have meant it to be worked here.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import http.client
import json
import logging
import ssl
import time
import urllib.parse
from collections.abc import Callable, Iterable
from typing import Any

from service import signals
from service.domain import canary, topology

log = logging.getLogger("millrace.canary")

STEP = 0.25  #: seconds between looks
TIMEOUT = 5.0  #: seconds for one request
FAILED = ("dead", "cancelled", "expired")


@dataclasses.dataclass(frozen=True, slots=True)
class Flight:
    """One that is under way."""

    queue: str
    begun: float  #: by time.monotonic()
    id: str  #: of an event
    slot: float | None = None  #: of a tick: its planned instant, in seconds since the epoch; it has no id yet


class Canary:
    """What one clock sends. ``url`` is the door's."""

    def __init__(
        self,
        url: str,
        *,
        every: float,
        queues: Iterable[str],
        always: Iterable[str] = (topology.EVENTS_QUEUE,),
        key: str = "",
        now: Callable[[], float] = time.time,
    ) -> None:
        self._url = urllib.parse.urlsplit(url)
        self._key = key  #: to be shown where access is on
        self._every = every  #: seconds
        self._queues = list(queues)  #: that there is a type for
        self._always = frozenset(always)  #: those that it is sent to though nobody takes them
        self._taken: frozenset[str] = frozenset()  # Those that a live worker takes, as the door said last.
        self._now = now
        self._next = 0.0  # By the wall clock: on the grid of the schedule's slots.
        self._flying: list[Flight] = []

    def run_once(self) -> None:
        """Send what is due, and look for those that fly. Raises nothing that a server's state could be the cause of."""
        now = self._now()
        if now >= self._next:
            slot = now - now % self._every
            if self._next:  # The first one may be half over.
                self._await_tick(slot)
            self._next = slot + self._every
            self._ask_who_takes_what()
            for queue in self._queues:
                if self._is_meant(queue):
                    self._send(queue)
        if self._flying:
            ticks = self._ticks() if any(flight.slot is not None for flight in self._flying) else []
            self._flying = [flight for flight in self._flying if not self._landed(flight, ticks)]

    def _ask_who_takes_what(self) -> None:
        if (answer := self._ask("GET", "/v1/workers")) is not None:
            live = [worker for worker in answer["processes"] if worker["alive"]]
            self._taken = frozenset(queue for worker in live for queue in worker["queues"])

    def _is_meant(self, queue: str) -> bool:
        """Whether somebody is to work what comes into this queue."""
        return queue in self._always or queue in self._taken

    def _send(self, queue: str) -> None:
        begun = time.monotonic()
        signals.canary_sent.send(None, queue=queue)
        expires = datetime.datetime.fromtimestamp(self._now() + canary.EXPIRES, datetime.UTC)
        query = urllib.parse.urlencode({"expires_at": expires.isoformat()})
        answer = self._ask("POST", f"/v1/events/{canary.type_of(queue)}?{query}", {"sent": self._now()})
        if answer is None or "id" not in answer:
            self._end(Flight(queue, begun, ""), begun, "refused")
        else:
            self._flying.append(Flight(queue, begun, str(answer["id"])))

    def _await_tick(self, slot: float) -> None:
        signals.canary_sent.send(None, queue=topology.PERIODIC_QUEUE)
        self._flying.append(Flight(topology.PERIODIC_QUEUE, time.monotonic(), "", slot))

    def _landed(self, flight: Flight, ticks: list[dict[str, Any]]) -> bool:
        """Whether there is nothing more to wait for."""
        now = time.monotonic()
        if flight.slot is None:
            found = self._ask("GET", f"/v1/events/{flight.id}")
        else:
            found = next((tick for tick in ticks if abs(_seconds(tick["slot_at"]) - flight.slot) < 0.001), None)
        state = found and found["state"]
        if state == "succeeded":
            self._end(flight, now if flight.slot is None else flight.begun + _delay(found), None)
        elif state in FAILED:
            self._end(flight, now, "failed")
        elif found and found["reason"] == "paused":
            return True  # Somebody wants it to wait: nothing is wrong, and nothing is known.
        elif now - flight.begun > canary.LATE:
            if flight.slot is None and not self._is_meant(flight.queue):
                return True  # Its last worker has gone meanwhile, and nobody says that there should be one.
            self._end(flight, now, "late")
        else:
            return False
        return True

    def _end(self, flight: Flight, now: float, loss: str | None) -> None:
        if loss is not None:
            extra = {"action": "canary.lost", "event_id": flight.id}
            log.warning("A canary of the queue %s was lost: %s", flight.queue, loss, extra=extra)
        signals.canary_ended.send(None, queue=flight.queue, seconds=now - flight.begun, loss=loss)

    def _ticks(self) -> list[dict[str, Any]]:
        answer = self._ask("GET", f"/v1/events?type={canary.TICK}&limit={int(canary.LATE / self._every) + 5}")
        return list(answer["events"]) if answer else []

    def _ask(self, method: str, path: str, body: Any = None) -> dict[str, Any] | None:
        """The document that the door answers; None when it refuses, or is not there."""
        make = http.client.HTTPSConnection if self._url.scheme == "https" else http.client.HTTPConnection
        with contextlib.closing(make(self._url.hostname or "", self._url.port, timeout=TIMEOUT)) as connection:
            try:
                content = None if body is None else json.dumps(body)
                headers = {"Content-Type": "application/json", "User-Agent": "millrace-canary"}
                if self._key:
                    headers["Authorization"] = f"Bearer {self._key}"
                connection.request(method, self._url.path.rstrip("/") + path, content, headers)
                self._look_at_certificate(connection.sock)
                answer = connection.getresponse()
                document = json.loads(answer.read())
            except (OSError, http.client.HTTPException, ValueError):
                return None
        return document if answer.status in (http.HTTPStatus.OK, http.HTTPStatus.ACCEPTED) else None

    @staticmethod
    def _look_at_certificate(line: Any) -> None:
        """Tell when the door's certificate ends, as clients see it."""
        found = line.getpeercert() if isinstance(line, ssl.SSLSocket) else None
        if found and "notAfter" in found:
            signals.door_seen.send(None, until=float(ssl.cert_time_to_seconds(str(found["notAfter"]))))


def _seconds(text: str | None) -> float:
    return datetime.datetime.fromisoformat(text).timestamp() if text else 0.0


def _delay(tick: Any) -> float:
    """Seconds from a tick's planned instant to its end, both by the ledger's clock."""
    return max(0.0, _seconds(tick["finished_at"]) - _seconds(tick["slot_at"]))
